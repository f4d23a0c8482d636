/* Quicksort of 4000 numbers, recursive. */
#include <stdio.h>
#define N 4000
static unsigned data[N];
static unsigned seed;
void sort(low, high) int low; int high; {
    unsigned pivot, other;
    int i, j;
    while (low < high) {
        pivot = data[(low + high) >> 1];
        i = low;
        j = high;
        while (i <= j) {
            while (data[i] < pivot) i++;
            while (data[j] > pivot) j--;
            if (i <= j) {
                other = data[i];
                data[i] = data[j];
                data[j] = other;
                i++;
                j--;
            }
        }
        sort(low, j);
        low = i;
    }
}
int main() {
    unsigned round, sum;
    int i;
    seed = 1;
    sum = 0;
    for (round = 0; round < ROUNDS * 9; round++) {
        for (i = 0; i < N; i++) {
            seed = seed * 25173 + 13849;
            data[i] = seed;
        }
        sort(0, N - 1);
        sum += data[N / 3];
    }
    printf("%u\n", sum);
    return 0;
}
