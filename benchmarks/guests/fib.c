/* Integer, recursive: calls and returns. */
#include <stdio.h>

__attribute__((noinline)) int fib(int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(void)
{
    printf("%d\n", fib(43));
    return 0;
}
