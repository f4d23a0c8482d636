/* Primes below 16384, again and again. */
#include <stdio.h>
#define N 8190
static char flags[N + 1];
int main() {
    unsigned round, count;
    int i, k, prime;
    for (round = 0; round < ROUNDS * 40; round++) {
        count = 0;
        for (i = 0; i <= N; i++) flags[i] = 1;
        for (i = 0; i <= N; i++) {
            if (flags[i]) {
                prime = i + i + 3;
                for (k = i + prime; k <= N; k += prime) flags[k] = 0;
                count++;
            }
        }
    }
    printf("%u\n", count);
    return 0;
}
