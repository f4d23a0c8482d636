/* Integer, indirect jumps: a bytecode interpreter's switch. A step is a thousand bytecodes. */
#define STEPS 550000
#include "bench.h"

static unsigned char program[] = {0, 1, 2, 3, 4, 5, 6, 7};
static unsigned a = 1, b = 2, c;

static void setup(void) {}

static void run(unsigned steps)
{
    unsigned x = a, y = b, z = c;
    for (unsigned n = 0; n < steps * 1000; n++)
        switch (program[(n * 7 + (x & 3)) & 7]) {
        case 0: x += y; break;
        case 1: y ^= x; break;
        case 2: z += x * 3; break;
        case 3: x = x << 1 | x >> 31; break;
        case 4: y -= z; break;
        case 5: z ^= y >> 3; break;
        case 6: x = x * 5 + 1; break;
        default: y += n;
        }
    a = x, b = y, c = z;
}

static void result(void)
{
    printf("%u %u %u\n", a, b, c);
}
