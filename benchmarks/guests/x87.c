/* x87: sums of rational functions in double and in extended precision. */
#include <stdio.h>

int main(void)
{
    double sum = 0;
    for (int i = 1; i < 60000000; i++) {
        double x = i * 0.5;
        sum += 1.0 / (x * x + 1.0) - x / (x + 3.0) * 1e-9;
    }
    long double n = 0;
    for (int i = 0; i < 6000000; i++)
        n = n * 0.999L + i;
    printf("%.15g %.18Lg\n", sum, n);
    return 0;
}
