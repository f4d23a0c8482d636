/* Integer, recursive: calls and returns. A step is fib(30). */
#define STEPS 600
#include "bench.h"

static unsigned sum;

__attribute__((noinline)) int fib(int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void setup(void) {}

static void run(unsigned steps)
{
    while (steps--)
        sum += fib(30);
}

static void result(void)
{
    printf("%u\n", sum);
}
