/* Integer, memory-bound: sieve of Eratosthenes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    int n = 5000000;
    long sum = 0;
    char *is_prime = malloc(n + 1);
    for (int round = 0; round < 60; round++) {
        memset(is_prime, 1, n + 1);
        for (int i = 2; i * i <= n; i++)
            if (is_prime[i])
                for (int j = i * i; j <= n; j += i)
                    is_prime[j] = 0;
        for (int i = 2; i <= n; i++)
            sum += is_prime[i];
    }
    printf("%ld\n", sum);
    return 0;
}
