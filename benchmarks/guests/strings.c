/* Integer, strings: the C library's memcpy, strlen, strcmp, strchr. A step is 4 KiB of each. */
#define STEPS 720000
#include "bench.h"

static char a[4096], b[4096];
static unsigned hash;

static void setup(void)
{
    for (int i = 0; i < 4095; i++)
        a[i] = 'a' + i % 26;
}

static void run(unsigned steps)
{
    for (unsigned n = 0; n < steps; n++) {
        a[n % 4095] ^= 1;
        memcpy(b, a, sizeof b);
        hash += strlen(b) + (strcmp(a, b) == 0) + (strchr(b, '!') != 0);
        for (int i = 0; i < 256; i++)
            hash = hash * 31 + b[i];
    }
}

static void result(void)
{
    printf("%u\n", hash);
}
