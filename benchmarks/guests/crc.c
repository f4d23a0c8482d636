/* Integer: CRC-32 by table, a byte at a time. A step is 64 KiB. */
#define STEPS 7500
#include "bench.h"

static uint32_t table[256], crc = ~0u;
static uint8_t data[1 << 16];

static void setup(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    for (int i = 0; i < 65536; i++)
        data[i] = i * 7 + (i >> 8);
}

static void run(unsigned steps)
{
    uint32_t c = crc;
    while (steps--)
        for (int i = 0; i < 65536; i++)
            c = table[(c ^ data[i]) & 255] ^ (c >> 8);
    crc = c;
}

static void result(void)
{
    printf("%08x\n", ~crc);
}
