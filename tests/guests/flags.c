// Every ALU insn at three widths over edge values: results and defined flags, as checksums.
#include <stdint.h>
#include <stdio.h>

static const uint32_t values[] = {0, 1, 2, 0x0f, 0x10, 0x7e, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x100,
    0x7ffe, 0x7fff, 0x8000, 0x8001, 0xffff, 0x10000, 0x12345678, 0x55555555, 0xaaaaaaaa,
    0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff};
enum { COUNT = sizeof values / sizeof *values, ALL = 0x8d5, NO_AF = 0x8c5 };

static uint32_t sum;
static void mix(uint32_t word) { sum = (sum ^ word) * 16777619u; }

#define BINARY(name, insn, type, reg, mask)                                                       \
    static void name(void) {                                                                      \
        sum = 2166136261u;                                                                        \
        for (int i = 0; i < COUNT; i++)                                                           \
            for (int j = 0; j < COUNT; j++)                                                       \
                for (uint32_t carry = 0; carry < 2; carry++) {                                    \
                    type a = values[i], b = values[j];                                            \
                    uint32_t flags = 0x202 | carry;                                               \
                    asm volatile("pushl %1; popfl; " insn " %" reg "2, %" reg "0; pushfl; popl %1"\
                                 : "+q"(a), "+r"(flags) : "q"(b) : "cc");                         \
                    mix(a); mix(flags & (mask));                                                  \
                }                                                                                 \
        printf("%-10s %08x\n", #name, sum);                                                       \
    }
#define UNARY(name, insn, type, reg, mask)                                                        \
    static void name(void) {                                                                      \
        sum = 2166136261u;                                                                        \
        for (int i = 0; i < COUNT; i++)                                                           \
            for (uint32_t carry = 0; carry < 2; carry++) {                                        \
                type a = values[i];                                                               \
                uint32_t flags = 0x202 | carry;                                                   \
                asm volatile("pushl %1; popfl; " insn " %" reg "0; pushfl; popl %1"               \
                             : "+q"(a), "+r"(flags) : : "cc");                                    \
                mix(a); mix(flags & (mask));                                                      \
            }                                                                                     \
        printf("%-10s %08x\n", #name, sum);                                                       \
    }
#define SHIFT(name, insn, type, reg, width)                                                       \
    static void name(void) {                                                                      \
        sum = 2166136261u;                                                                        \
        for (int i = 0; i < COUNT; i++)                                                           \
            for (uint32_t count = 0; count < 40; count++)                                         \
                for (uint32_t carry = 0; carry < 2; carry++) {                                    \
                    type a = values[i];                                                           \
                    uint32_t flags = 0x202 | carry, n = count & 31;                               \
                    asm volatile("pushl %1; popfl; " insn " %%cl, %" reg "0; pushfl; popl %1"     \
                                 : "+q"(a), "+r"(flags) : "c"(count) : "cc");                     \
                    int rotate = #name[0] == 'r';                                                 \
                    uint32_t mask = n == 0 ? ALL : n == 1 ? (rotate ? ALL : NO_AF)                \
                                  : rotate ? ALL & ~0x800 : n >= width ? 0xc4 : 0xc5;             \
                    mix(a); mix(flags & mask);                                                    \
                }                                                                                 \
        printf("%-10s %08x\n", #name, sum);                                                       \
    }
#define THREE(kind, insn, mask)                                                                   \
    kind(insn##8, #insn "b", uint8_t, "b", mask)                                                  \
    kind(insn##16, #insn "w", uint16_t, "w", mask)                                                \
    kind(insn##32, #insn "l", uint32_t, "k", mask)
#define THREE_SHIFTS(insn)                                                                        \
    SHIFT(insn##8, #insn "b", uint8_t, "b", 8)                                                    \
    SHIFT(insn##16, #insn "w", uint16_t, "w", 16)                                                 \
    SHIFT(insn##32, #insn "l", uint32_t, "k", 32)

THREE(BINARY, add, ALL) THREE(BINARY, adc, ALL) THREE(BINARY, sub, ALL) THREE(BINARY, sbb, ALL)
THREE(BINARY, cmp, ALL) THREE(BINARY, and, NO_AF) THREE(BINARY, or, NO_AF)
THREE(BINARY, xor, NO_AF) THREE(BINARY, test, NO_AF) THREE(BINARY, xadd, ALL)
THREE(UNARY, inc, ALL) THREE(UNARY, dec, ALL) THREE(UNARY, neg, ALL) THREE(UNARY, not, ALL)
THREE_SHIFTS(shl) THREE_SHIFTS(shr) THREE_SHIFTS(sar) THREE_SHIFTS(rol) THREE_SHIFTS(ror)
THREE_SHIFTS(rcl) THREE_SHIFTS(rcr)
BINARY(imul16, "imulw", uint16_t, "w", 0x801) BINARY(imul32, "imull", uint32_t, "k", 0x801)
BINARY(bt32, "btl", uint32_t, "k", 0x41) BINARY(bts32, "btsl", uint32_t, "k", 0x41)
BINARY(btr16, "btrw", uint16_t, "w", 0x41) BINARY(btc32, "btcl", uint32_t, "k", 0x41)

#define RUN3(insn) insn##8(); insn##16(); insn##32();
static uint32_t decimal(int which, uint32_t ax, uint32_t flags) {
    switch (which) {
    case 0: asm volatile("pushl %1; popfl; daa; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xd5; break;
    case 1: asm volatile("pushl %1; popfl; das; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xd5; break;
    case 2: asm volatile("pushl %1; popfl; aaa; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0x11; break;
    case 3: asm volatile("pushl %1; popfl; aas; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0x11; break;
    case 4: asm volatile("pushl %1; popfl; aam; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xc4; break;
    case 5: asm volatile("pushl %1; popfl; aam $7; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xc4; break;
    case 6: asm volatile("pushl %1; popfl; aad; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xc4; break;
    case 7: asm volatile("pushl %1; popfl; sahf; lahf; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= 0xd5; break;
    case 8: asm volatile("pushl %1; popfl; cbtw; cwtl; pushfl; popl %1" : "+a"(ax), "+r"(flags)); flags &= ALL; break;
    }
    return flags ^ ax << 12;
}

static void conditions(void) {
    uint32_t seen[16] = {0};
    for (uint32_t bits = 0; bits < 64; bits++) {
        uint32_t flags = 0x202 | (bits & 1) | (bits & 2) << 1 | (bits & 4) << 2 | (bits & 8) << 3 |
                         (bits & 16) << 3 | (bits & 32) << 6;
        uint8_t got;
#define SET(n, cc)                                                                                \
    asm volatile("pushl %1; popfl; set" cc " %0" : "=q"(got) : "r"(flags) : "cc");                \
    seen[n] = seen[n] * 31 + got;                                                                 \
    asm volatile("pushl %1; popfl; movb $1, %0; j" cc " 1f; movb $0, %0; 1:" : "=q"(got) : "r"(flags) : "cc"); \
    seen[n] = seen[n] * 31 + got;                                                                 \
    { uint32_t moved = 5; asm volatile("pushl %1; popfl; cmov" cc " %2, %0" : "+r"(moved) : "r"(flags), "r"(bits) : "cc"); seen[n] = seen[n] * 31 + moved; }
        SET(0, "o") SET(1, "no") SET(2, "b") SET(3, "ae") SET(4, "e") SET(5, "ne") SET(6, "be") SET(7, "a")
        SET(8, "s") SET(9, "ns") SET(10, "p") SET(11, "np") SET(12, "l") SET(13, "ge") SET(14, "le") SET(15, "g")
    }
    for (int n = 0; n < 16; n++) printf("cc%-2d %08x\n", n, seen[n]);
}

int main(void) {
    RUN3(add) RUN3(adc) RUN3(sub) RUN3(sbb) RUN3(cmp) RUN3(and) RUN3(or) RUN3(xor) RUN3(test)
    RUN3(xadd) RUN3(inc) RUN3(dec) RUN3(neg) RUN3(not) RUN3(shl) RUN3(shr) RUN3(sar) RUN3(rol)
    RUN3(ror) RUN3(rcl) RUN3(rcr)
    imul16(); imul32(); bt32(); bts32(); btr16(); btc32();
    for (int which = 0; which < 9; which++) {
        sum = 0;
        for (uint32_t ax = 0; ax < 0x1000; ax++)
            for (uint32_t flags = 0; flags < 4; flags++)
                mix(decimal(which, (ax & 0xff) | (ax & 0xf00) * 3, 0x202 | (flags & 1) | (flags & 2) << 3));
        printf("bcd%d %08x\n", which, sum);
    }
    conditions();
    for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) { // div, shld, cmpxchg8b
        uint32_t a = values[i], b = values[j] ? values[j] : 1, hi = values[i] % b, q, r;
        asm volatile("divl %4" : "=a"(q), "=d"(r) : "a"(a), "d"(hi), "r"(b) : "cc"); mix(q); mix(r);
        int32_t sq, sr; int64_t big = (int64_t)(int32_t)a * 3;
        if ((int32_t)b > 3 || (int32_t)b < -3) {
            asm volatile("idivl %4" : "=a"(sq), "=d"(sr) : "a"((uint32_t)big), "d"((uint32_t)(big >> 32)), "r"(b) : "cc");
            mix(sq); mix(sr);
        }
        for (uint8_t n = 0; n < 32; n += 3) {
            uint32_t x = a, y = a;
            asm volatile("shldl %%cl, %1, %0" : "+r"(x) : "r"(b), "c"(n) : "cc");
            asm volatile("shrdl %%cl, %1, %0" : "+r"(y) : "r"(b), "c"(n) : "cc");
            mix(x); mix(y);
        }
        uint64_t cell = (uint64_t)a << 32 | b, swap = (uint64_t)b << 32 | a; uint8_t same;
        asm volatile("lock cmpxchg8b %1; sete %0" : "=q"(same), "+m"(cell), "+A"(swap) : "b"(7), "c"(9) : "cc");
        mix(same); mix(cell); mix(cell >> 32); mix(swap);
        uint32_t low = 77, high = 88; uint8_t z1, z2;
        asm volatile("bsfl %2, %0; setz %1" : "+r"(low), "=q"(z1) : "r"(a) : "cc");
        asm volatile("bsrl %2, %0; setz %1" : "+r"(high), "=q"(z2) : "r"(a) : "cc");
        mix(a ? low : 0); mix(a ? high : 0); mix(z1 | z2 << 1);
        asm volatile("bswap %0" : "+r"(low)); mix(a ? low : 0);
        uint64_t product; asm volatile("mull %2" : "=A"(product) : "a"(a), "r"(b) : "cc"); mix(product); mix(product >> 32);
        asm volatile("imull %2" : "=A"(product) : "a"(a), "r"(b) : "cc"); mix(product); mix(product >> 32);
    }
    printf("mixed %08x\n", sum);
    return 0;
}
