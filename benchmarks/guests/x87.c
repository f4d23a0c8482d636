/* x87: sums of rational functions in double and in extended precision. A step is ten thousand
 * terms and a thousand products. */
#define STEPS 37000
#include "bench.h"

static double sum;
static long double horner;
static int at;

static void setup(void) {}

static void run(unsigned steps)
{
    while (steps--) {
        for (int end = at + 10000; at < end; at++) {
            double x = (at + 1) * 0.5;
            sum += 1.0 / (x * x + 1.0) - x / (x + 3.0) * 1e-9;
        }
        for (int i = 0; i < 1000; i++)
            horner = horner * 0.999L + i;
    }
}

static void result(void)
{
    printf("%.15g %.18Lg\n", sum, horner);
}
