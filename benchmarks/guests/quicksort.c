/* Integer, branchy: quicksort of pseudo-random numbers. A step sorts a hundred thousand. */
#define STEPS 150
#include "bench.h"

static int n = 100000, *a;
static unsigned hash;

static void sort(int *a, int left, int right)
{
    while (left < right) {
        int i = left, j = right, pivot = a[(left + right) / 2];
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                int t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - left < right - i) {
            sort(a, left, j);
            left = i;
        } else {
            sort(a, i, right);
            right = j;
        }
    }
}

static void setup(void)
{
    a = malloc(n * sizeof *a);
}

static void run(unsigned steps)
{
    while (steps--) {
        for (int i = 0; i < n; i++)
            a[i] = next_random();
        sort(a, 0, n - 1);
        for (int i = 0; i < n; i += 1000)
            hash = hash * 31 + a[i];
    }
}

static void result(void)
{
    printf("%u\n", hash);
}
