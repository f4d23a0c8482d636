/* Integer, strings: the C library's memcpy, strlen, strcmp, strchr. */
#include <stdio.h>
#include <string.h>

int main(void)
{
    static char a[4096], b[4096];
    for (int i = 0; i < 4095; i++)
        a[i] = 'a' + i % 26;
    unsigned hash = 0;
    for (int round = 0; round < 500000; round++) {
        a[round % 4095] ^= 1;
        memcpy(b, a, sizeof b);
        hash += strlen(b) + (strcmp(a, b) == 0) + (strchr(b, '!') != 0);
        for (int i = 0; i < 256; i++)
            hash = hash * 31 + b[i];
    }
    printf("%u\n", hash);
    return 0;
}
