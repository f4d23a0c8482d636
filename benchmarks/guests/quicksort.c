/* Integer, branchy: quicksort of pseudo-random numbers. */
#include <stdio.h>
#include <stdlib.h>

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

int main(void)
{
    int n = 1000000, *a = malloc(n * sizeof *a);
    unsigned seed = 1, hash = 0;
    for (int round = 0; round < 14; round++) {
        for (int i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            a[i] = seed >> 1;
        }
        sort(a, 0, n - 1);
        for (int i = 0; i < n; i += 1000)
            hash = hash * 31 + a[i];
    }
    printf("%u\n", hash);
    return 0;
}
