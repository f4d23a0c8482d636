/* Integer, self-modifying: what a guest JIT does. A step writes a new function of 16 random
 * operations over the old one and runs it over 32 KiB two hundred times. */
#include <sys/mman.h>
#define STEPS 400
#include "bench.h"

enum { WORDS = 8192, PASSES = 200 };
static uint32_t words[WORDS], sum;
static unsigned char *code;

static void setup(void)
{
    code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        exit(1);
    for (int i = 0; i < WORDS; i++)
        words[i] = next_random();
}

static unsigned char *emit(unsigned char *at, const char *bytes, int size, uint32_t immediate)
{
    memcpy(at, bytes, size);
    memcpy(at + size, &immediate, 4);
    return at + size + 4;
}

/* uint32_t f(const uint32_t *words, int count), the sum of a random function of each word */
static void generate(void)
{
    unsigned char *at = code, *loop;
    memcpy(at, "\x56\x8b\x74\x24\x08\x8b\x4c\x24\x0c\x31\xd2", 11); /* push esi; load; xor edx */
    loop = at += 11;
    memcpy(at, "\x8b\x44\x8e\xfc", 4); /* mov eax, [esi + ecx * 4 - 4] */
    at += 4;
    for (int i = 0; i < 16; i++) {
        uint32_t r = next_random();
        switch (r & 3) {
        case 0: at = emit(at, "\x05", 1, r); break;     /* add eax, r */
        case 1: at = emit(at, "\x35", 1, r); break;     /* xor eax, r */
        case 2: at = emit(at, "\x69\xc0", 2, r | 1); break; /* imul eax, eax, r */
        default: *at++ = 0xc1, *at++ = 0xc0, *at++ = 1 + r / 8 % 31; /* rol eax, n */
        }
    }
    memcpy(at, "\x01\xc2\x49\x0f\x85", 5); /* add edx, eax; dec ecx; jnz loop */
    at += 5;
    int32_t back = loop - (at + 4);
    memcpy(at, &back, 4);
    memcpy(at + 4, "\x89\xd0\x5e\xc3", 4); /* mov eax, edx; pop esi; ret */
}

static void run(unsigned steps)
{
    uint32_t (*function)(const uint32_t *, int) = (void *)code;
    while (steps--) {
        generate();
        for (int i = 0; i < PASSES; i++)
            sum = sum * 31 + function(words, WORDS);
    }
}

static void result(void)
{
    printf("%u\n", sum);
}
