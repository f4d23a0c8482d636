/* CRC-16 of 8 KiB by table. */
#include <stdio.h>
static unsigned table[256];
static unsigned char data[8192];
int main() {
    unsigned i, j, crc, round;
    for (i = 0; i < 256; i++) {
        crc = i << 8;
        for (j = 0; j < 8; j++) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        table[i] = crc;
    }
    for (i = 0; i < 8192; i++) data[i] = i * 7;
    crc = 0xFFFF;
    for (round = 0; round < ROUNDS * 60; round++)
        for (i = 0; i < 8192; i++) crc = crc << 8 ^ table[(crc >> 8 ^ data[i]) & 255];
    printf("%u\n", crc);
    return 0;
}
