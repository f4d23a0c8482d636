/* Integer, memory bandwidth: copy, scale and add arrays of 8 MiB. A step is one pass of each. */
#define STEPS 310
#include "bench.h"

enum { WORDS = 1 << 21 };
static uint32_t *a, *b, *c, sum;

static void setup(void)
{
    a = malloc(WORDS * 4), b = malloc(WORDS * 4), c = malloc(WORDS * 4);
    for (unsigned i = 0; i < WORDS; i++)
        a[i] = next_random(), b[i] = i, c[i] = 0;
}

static void run(unsigned steps)
{
    while (steps--) {
        for (unsigned i = 0; i < WORDS; i++)
            c[i] = a[i];
        for (unsigned i = 0; i < WORDS; i++)
            b[i] = c[i] * 3;
        for (unsigned i = 0; i < WORDS; i++)
            a[i] = b[i] + c[i];
        for (unsigned i = 0; i < WORDS; i++)
            sum += a[i];
    }
}

static void result(void)
{
    printf("%u\n", sum);
}
