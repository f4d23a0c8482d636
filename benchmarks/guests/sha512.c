/* Integer, bignum with carries: 64-bit rounds like those of SHA-512 on 32-bit registers. */
#include <stdint.h>
#include <stdio.h>

#define ROTATE(x, n) ((x) >> (n) | (x) << (64 - (n)))

int main(void)
{
    uint64_t s[8] = {1, 2, 3, 4, 5, 6, 7, 8}, w[16];
    for (int i = 0; i < 16; i++)
        w[i] = i * 0x9E3779B97F4A7C15ull;
    for (int round = 0; round < 5000000; round++)
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
    printf("%llx\n", (unsigned long long)s[0]);
    return 0;
}
