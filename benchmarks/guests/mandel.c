/* Doubles, x87 or SSE2 by the compiler's flag: escape times of the Mandelbrot set. A step is one
 * row of 700 points. */
#define STEPS 7000
#include "bench.h"

static unsigned total, row;

static void setup(void) {}

static void run(unsigned steps)
{
    for (; steps--; row = (row + 1) % 700)
        for (int x = 0; x < 700; x++) {
            double cr = x / 350.0 - 1.5, ci = row / 350.0 - 1.0, zr = 0, zi = 0;
            int n = 0;
            while (n < 200 && zr * zr + zi * zi < 4.0) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                n++;
            }
            total += n;
        }
}

static void result(void)
{
    printf("%u\n", total);
}
