/* Integer, strided stores: sieve of Eratosthenes. A step is one sieve of five million. */
#define STEPS 70
#include "bench.h"

static int n = 5000000;
static unsigned sum;
static char *is_prime;

static void setup(void)
{
    is_prime = malloc(n + 1);
}

static void run(unsigned steps)
{
    while (steps--) {
        memset(is_prime, 1, n + 1);
        for (int i = 2; i * i <= n; i++)
            if (is_prime[i])
                for (int j = i * i; j <= n; j += i)
                    is_prime[j] = 0;
        for (int i = 2; i <= n; i++)
            sum += is_prime[i];
    }
}

static void result(void)
{
    printf("%u\n", sum);
}
