/* SSE2 scalar doubles: escape times of the Mandelbrot set. */
#include <stdio.h>

int main(void)
{
    unsigned long total = 0;
    for (int y = 0; y < 700; y++)
        for (int x = 0; x < 700; x++) {
            double cr = x / 350.0 - 1.5, ci = y / 350.0 - 1.0, zr = 0, zi = 0;
            int n = 0;
            while (n < 200 && zr * zr + zi * zi < 4.0) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                n++;
            }
            total += n;
        }
    printf("%lu\n", total);
    return 0;
}
