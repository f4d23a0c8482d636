/* A guest to try things with:  gcc -m32 -static -O2 -o hello examples/hello.c */
#include <stdio.h>

static unsigned collatz(unsigned n) {
    unsigned steps = 0;
    for (; n != 1; steps++) n = n & 1 ? 3 * n + 1 : n / 2;
    return steps;
}

int main(int argc, char **argv) {
    printf("hello from %d-bit code\n", (int)(8 * sizeof(void *)));
    printf("27 takes %u steps\n", collatz(27));
    return argc - 1;
}
