/* Code changed by every kind of store: in the very next insn, across page borders, by the kernel. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096 };
static uint8_t *area;
typedef unsigned (*function)(void *, void *, unsigned);

/* Stores that the generated code itself makes, right before the insn that they change.  EDI holds
 * the address of `mov eax, imm32`'s immediate, EBX and XMM0 and ST(0) the new bytes. */
static const struct { const char *name; const char *bytes; int size; } stores[] = {
    {"mov", "\x89\x1f", 2},
    {"movb", "\x88\x1f", 2},
    {"movw", "\x66\x89\x1f", 3},
    {"add", "\x01\x1f", 2},
    {"xor", "\x31\x1f", 2},
    {"neg", "\xf7\x1f", 2},
    {"inc byte", "\xfe\x07", 2},
    {"shl", "\xd1\x27", 2},
    {"xchg", "\x87\x1f", 2},
    {"lock xadd", "\xf0\x0f\xc1\x1f", 4},
    {"cmpxchg", "\x8b\x07\x0f\xb1\x1f", 5},
    {"lock or", "\xf0\x09\x1f", 3},
    {"bts", "\x0f\xba\x2f\x05", 4},
    {"setz", "\x0f\x94\x07", 3},
    {"stosd", "\x89\xd8\xab", 3},
    {"rep stosb", "\xb9\x04\x00\x00\x00\x88\xd8\xf3\xaa", 9},
    {"movsd", "\xa5", 1},
    {"rep movsb", "\xb9\x04\x00\x00\x00\xf3\xa4", 7},
    {"push", "\x89\xe1\x8d\x67\x04\x53\x89\xcc", 8},
    {"pop", "\x89\xd8\x53\x8f\x07", 5},
    {"movd", "\x0f\x7e\x07", 3},
    {"movq", "\x66\x0f\xd6\x07", 4},
    {"movss", "\xf3\x0f\x11\x07", 4},
    {"movlps", "\x0f\x13\x07", 3},
    {"movntil", "\x0f\xc3\x1f", 3},
    {"fstps", "\xd9\x06\xd9\x1f", 4},
    {"fistpl", "\xdb\x06\xdb\x1f", 4},
    {"fnstcw", "\xd9\x3f", 2},
    {"mov moffs", "\x89\xd8\xa3", 3}, /* the address follows */
};

static unsigned run(unsigned kind, unsigned offset, unsigned value)
{
    uint8_t *p = area + offset, *patch;
    unsigned source = value;
    uint8_t *start = p;
    /* push ebx edi esi ecx; load operands; store; mov eax, imm; pop all; ret */
    static const uint8_t head[] = {0x53, 0x57, 0x56, 0x51, 0x8b, 0x7c, 0x24, 0x14, 0x8b, 0x74, 0x24,
                                   0x18, 0x8b, 0x5c, 0x24, 0x1c, 0x66, 0x0f, 0x6e, 0xc3, 0x68, 0x90,
                                   0x90, 0x90, 0x90, 0x66, 0x0f, 0x6e, 0x0c, 0x24, 0x59, 0x66, 0x0f, 0x62,
                                   0xc1, 0x85, 0xff};
    memcpy(p, head, sizeof head);
    p += sizeof head;
    memcpy(p, stores[kind].bytes, stores[kind].size);
    p += stores[kind].size;
    patch = p + 1;
    if (stores[kind].size == 3 && stores[kind].bytes[2] == '\xa3') {
        patch += 4;
        memcpy(p, &patch, 4);
        p += 4;
    }
    *p = 0xb8;
    memcpy(p + 1, "\x11\x22\x33\x44\x90\x90\x90\x90", 8); /* movq reaches the nops */
    memcpy(p + 9, "\x59\x5e\x5f\x5b\xc3", 5);
    unsigned result = ((function)start)(patch, &source, value);
    __asm__ volatile("fninit");
    return result;
}

int main(void)
{
    setbuf(stdout, NULL);
    area = mmap((void *)0x20000000, 16 * PAGE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    __asm__ volatile("movd %0, %%mm0; emms" : : "r"(0x12345678));
    for (unsigned kind = 0; kind < sizeof stores / sizeof *stores; kind++) {
        unsigned sum = 0;
        __asm__ volatile("movd %0, %%mm0; emms" : : "r"(0x00345678 + kind));
        for (unsigned i = 0; i < 100; i++) {
            /* once in the middle of a page, then with the border anywhere in it */
            unsigned offset = i < 10 ? 100 : (1 + i % 5) * PAGE - 10 - i % 37;
            sum = sum * 31 + run(kind, offset, 0x01010101 * (i & 63) + i);
        }
        printf("%s %08x\n", stores[kind].name, sum);
    }
    /* A loop that counts in its own immediate, and one that turns its jump around. */
    static const uint8_t counting[] = {0xb9, 0x64, 0, 0, 0, 0x31, 0xc0, 0x05, 1, 0, 0, 0, 0xff, 0x05,
                                       0x08, 0, 0, 0x20, 0x49, 0x75, 0xf2, 0xc3};
    memcpy(area, counting, sizeof counting);
    printf("counting %u\n", ((function)area)(0, 0, 0));
    printf("counting %u\n", ((function)area)(0, 0, 0));
    static const uint8_t turning[] = {0x31, 0xc0, 0x40, 0xc6, 0x05, 0x0b, 0, 0, 0x20, 0x75, 0xeb + 0, 0x74,
                                      0xf5, 0xc3};
    memcpy(area, turning, sizeof turning); /* inc eax; movb $0x75, +11; (jmp short becomes) jne */
    area[9] = 0x74; /* mov byte [.+2], 0x74: je is not taken, the function ends */
    area[10] = 0x90;
    printf("turning %u\n", ((function)area)(0, 0, 0));
    /* The kernel writes code: read, readv, pread, and process state into a page that runs. */
    int p[2];
    unsigned sum = 0;
    if (pipe(p))
        return 1;
    for (unsigned i = 0; i < 200; i++) {
        uint8_t code[6] = {0xb8, i, i >> 4, 7, 0, 0xc3}, *at = area + 3 * PAGE - 1 - i % 6;
        if (write(p[1], code, 6) != 6)
            return 1;
        if (i & 1) {
            if (read(p[0], at, 6) != 6)
                return 1;
        } else {
            struct iovec v[2] = {{at, 2}, {at + 2, 4}};
            if (readv(p[0], v, 2) != 6)
                return 1;
        }
        sum = sum * 31 + ((function)at)(0, 0, 0);
    }
    printf("kernel %08x\n", sum);
    /* The return address is pushed into code that runs next. */
    static const uint8_t calling[] = {0x89, 0xe2, 0xbc, 0x14, 0x10, 0, 0x20, 0xe8, 0, 0, 0, 0, 0x89, 0xd4,
                                      0xb8, 0x00, 0x00, 0x00, 0x00, 0xc3};
    memcpy(area + PAGE, calling, sizeof calling);
    *(unsigned *)(area + PAGE + 3) = 0x20001013; /* ESP: the push lands in mov eax's immediate */
    printf("calling %08x\n", ((function)(area + PAGE))(0, 0, 0));
    return 0;
}
