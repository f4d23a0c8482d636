/* Integer, indirect branches: a bytecode interpreter's switch. */
#include <stdio.h>

int main(void)
{
    unsigned char program[] = {0, 1, 2, 3, 4, 5, 6, 7};
    unsigned a = 1, b = 2, c = 0;
    for (int n = 0; n < 250000000; n++)
        switch (program[(n * 7 + (a & 3)) & 7]) {
        case 0: a += b; break;
        case 1: b ^= a; break;
        case 2: c += a * 3; break;
        case 3: a = a << 1 | a >> 31; break;
        case 4: b -= c; break;
        case 5: c ^= b >> 3; break;
        case 6: a = a * 5 + 1; break;
        default: b += n;
        }
    printf("%u %u %u\n", a, b, c);
    return 0;
}
