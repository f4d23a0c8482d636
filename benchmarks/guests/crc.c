/* Integer, memory: CRC-32 by table. */
#include <stdint.h>
#include <stdio.h>

static uint32_t table[256];
static uint8_t data[1 << 16];

int main(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        table[i] = c;
    }
    for (int i = 0; i < 65536; i++)
        data[i] = i * 7 + (i >> 8);
    uint32_t crc = ~0u;
    for (int round = 0; round < 10000; round++)
        for (int i = 0; i < 65536; i++)
            crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
    printf("%08x\n", ~crc);
    return 0;
}
