// String insns: every repeat prefix, size, direction, overlap and 16-bit addressing.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static uint8_t area[4096];
static uint32_t sum;
static void mix(uint32_t word) { sum = (sum ^ word) * 16777619u; }
static void fill(void) { for (int i = 0; i < 4096; i++) area[i] = (i * 7 + i / 64) % 23; }
static void done(const char *name) {
    for (int i = 0; i < 4096; i++) mix(area[i]);
    printf("%-14s %08x\n", name, sum);
}
#define MOVE(insn, step)                                                                          \
    for (int gap = -20; gap <= 20; gap++)                                                         \
        for (int count = 0; count < 40; count += 3)                                               \
            for (int down = 0; down < 2; down++) {                                                \
                fill();                                                                           \
                uint8_t *si = area + 1000 + (down ? count * step : 0), *di = si + gap;            \
                uint32_t n = count;                                                               \
                if (down) asm volatile("std; " insn "; cld" : "+S"(si), "+D"(di), "+c"(n) : : "memory"); \
                else asm volatile(insn : "+S"(si), "+D"(di), "+c"(n) : : "memory");               \
                for (int i = 800; i < 1400; i++) mix(area[i]);                                    \
                mix(si - area); mix(di - area); mix(n);                                           \
            }                                                                                     \
    done(insn);
#define STORE(insn, step)                                                                         \
    for (int count = 0; count < 70; count += 5) {                                                 \
        fill();                                                                                   \
        uint8_t *di = area + 500 + count;                                                         \
        uint32_t n = count;                                                                       \
        asm volatile(insn : "+D"(di), "+c"(n) : "a"(0x12345678) : "memory");                      \
        mix(di - area); mix(n);                                                                   \
        for (int i = 400; i < 900; i++) mix(area[i]);                                             \
    }                                                                                             \
    done(insn);
#define SCAN(insn, prepare)                                                                       \
    for (int start = 0; start < 300; start += 7)                                                  \
        for (int other = 0; other < 60; other += 11) {                                            \
            fill(); prepare;                                                                      \
            uint8_t *si = area + 2000 + start, *di = area + 2000 + other;                         \
            uint32_t n = start, flags, acc = other * 0x01010101;                                  \
            asm volatile("cmp %%eax, %%eax; " insn "; pushfl; popl %3"                            \
                         : "+S"(si), "+D"(di), "+c"(n), "=r"(flags), "+a"(acc) : : "memory", "cc");\
            mix(si - area); mix(di - area); mix(n); mix(flags & 0x8d5); mix(acc);                 \
        }                                                                                         \
    done(insn);

int main(void) {
    MOVE("rep movsb", 1) MOVE("rep movsw", 2) MOVE("rep movsl", 4) MOVE("movsb", 1) MOVE("movsl", 4)
    STORE("rep stosb", 1) STORE("rep stosw", 2) STORE("rep stosl", 4) STORE("stosl", 4)
    SCAN("repe cmpsb", (void)0) SCAN("repne cmpsb", (void)0) SCAN("repe cmpsl", memset(area + 2000, 3, 400))
    SCAN("repe cmpsw", memset(area + 2100, 3, 300)) SCAN("repne scasb", (void)0) SCAN("repe scasb", memset(area + 1990, 11, 90))
    SCAN("repne scasl", memset(area + 2200, 33, 90)) SCAN("lodsb", (void)0) SCAN("rep lodsl", (void)0) SCAN("scasw", (void)0)
    SCAN("std; repne scasb; cld", (void)0) SCAN("std; repe cmpsb; cld", memset(area + 1700, 5, 500))
    // 16-bit addresses: SI, DI and CX wrap at 64 KiB; the upper halves stay
    uint8_t *low = mmap((void *)0x10000, 0x10000, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    (void)low;
    uint32_t cx = 0xabcd0000, di = 0x12340000 | 0xfff0;
    asm volatile("addr16 rep stosb" : "+c"(cx), "+D"(di) : "a"(1) : "memory");
    printf("16-bit count 0: %08x %08x\n", cx, di);
    cx = 0xffff0003;
    uint32_t eip_like = 0;
    asm volatile("1: incl %1; addr16 loop 1b" : "+c"(cx), "+r"(eip_like));
    printf("loopw %08x %u\n", cx, eip_like);
    uint8_t table[256];
    for (int i = 0; i < 256; i++) table[i] = i * 5 + 3;
    for (int i = 0; i < 256; i++) { uint32_t a = i | 0xabcd00; asm volatile("xlatb" : "+a"(a) : "b"(table)); mix(a); }
    done("xlat");
    char big[20000]; memset(big, 'x', sizeof big); big[19999] = 0;
    printf("%zu %d %td\n", strlen(big), memcmp(big, big + 1, 19998), (char *)memchr(big, 0, sizeof big) - big);
    return 0;
}
