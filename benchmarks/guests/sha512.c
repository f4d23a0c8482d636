/* Integer, carries: 64-bit rounds like those of SHA-512 on 32-bit registers. A step is a thousand
 * blocks of 16 rounds. */
#define STEPS 8000
#include "bench.h"

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))

static uint64_t s[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[16];

static void setup(void)
{
    for (int i = 0; i < 16; i++)
        w[i] = i * 0x9E3779B97F4A7C15ull;
}

static void run(unsigned steps)
{
    for (unsigned n = steps * 1000; n; n--)
        for (int i = 0; i < 16; i++) {
            uint64_t e = s[4], a = s[0];
            uint64_t t1 = s[7] + (ROTATE(e, 14) ^ ROTATE(e, 18) ^ ROTATE(e, 41))
                + ((e & s[5]) ^ (~e & s[6])) + w[i];
            uint64_t t2 = (ROTATE(a, 28) ^ ROTATE(a, 34) ^ ROTATE(a, 39))
                + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            s[7] = s[6], s[6] = s[5], s[5] = e, s[4] = s[3] + t1;
            s[3] = s[2], s[2] = s[1], s[1] = a, s[0] = t1 + t2;
            w[i] += s[0];
        }
}

static void result(void)
{
    printf("%llx\n", (unsigned long long)s[0]);
}
