/* Repeated string insns at random: counts, overlaps, directions, protections; overwriting themselves. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

enum { SIZE = 4096, PAGES = 8, TOTAL = PAGES * SIZE, SHOWN = 0xcd5 /* flags */ };
static uint8_t *const area = (uint8_t *)0x30000000;
static uint8_t *code;
static uint32_t seed = 12345, hash = 1;
static int faults, patience;
static sigjmp_buf out;

static uint32_t random32(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8 ^ seed << 16;
}

static void mix(uint32_t value)
{
    hash = (hash ^ value) * 16777619;
}

static void handler(int signo, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & -SIZE);
    uint32_t shown[] = {(uintptr_t)info->si_addr, r[REG_ERR], r[REG_TRAPNO], r[REG_ECX], r[REG_ESI],
                        r[REG_EDI], r[REG_EAX], r[REG_EFL] & SHOWN, r[REG_EIP] - (uintptr_t)code,
                        info->si_code};
    for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++)
        mix(shown[i]);
    faults++;
    if (patience-- <= 0 || page < area || page >= area + TOTAL)
        siglongjmp(out, 1);
    mprotect(page, SIZE, PROT_READ | PROT_WRITE);
}

struct registers { uint32_t ecx, esi, edi, eax, flags; };

/* pushf; pop; ... around the insn: load all, run, store all. */
static void make(const uint8_t *insn, int length)
{
    static const uint8_t head[] = {
        0x60, 0x9c, 0x8b, 0x5c, 0x24, 0x28, /* pusha; pushf; mov ebx, [esp+40] */
        0x8b, 0x0b, 0x8b, 0x73, 4, 0x8b, 0x7b, 8, 0x8b, 0x43, 12, 0xff, 0x73, 16, 0x9d,
    };
    static const uint8_t tail[] = {
        0x89, 0x0b, 0x89, 0x73, 4, 0x89, 0x7b, 8, 0x89, 0x43, 12, 0x9c, 0x8f, 0x43, 16, 0x9d, 0x61, 0xc3,
    };
    memcpy(code, head, sizeof head);
    memcpy(code + sizeof head, insn, length);
    memcpy(code + sizeof head + length, tail, sizeof tail);
}

static const uint8_t opcodes[] = {0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac, 0xad};

static uint32_t some_count(void)
{
    uint32_t r = random32();
    switch (r & 15) {
    case 0: return r >> 4 & 1;
    case 1: case 2: case 3: return r >> 4 & 7;
    case 4: case 5: case 6: return r >> 4 & 63;
    case 7: return 0xffffffff - (r >> 4 & 3);
    case 8: return 0x40000000u << (r >> 4 & 1);
    default: return (r >> 4) % 9000;
    }
}

static uint32_t some_place(void)
{
    uint32_t r = random32(), page = (r & 7) * SIZE;
    if (r >> 8 & 1)
        return page + (r >> 9 & 15) - 8;
    return page + (r >> 9 & 4095);
}

static void random_case(uint32_t base)
{
    uint8_t insn[8] = {0};
    int length = 0, segment = random32() % 4;
    uint8_t op = opcodes[random32() % sizeof opcodes];
    if (segment == 0)
        insn[length++] = 0x64;
    if (random32() % 3 == 0)
        insn[length++] = 0x66;
    insn[length++] = random32() & 1 ? 0xf3 : 0xf2;
    insn[length++] = op;
    make(insn, length);
    for (int i = 0; i < PAGES; i++)
        mprotect(area + i * SIZE, SIZE, PROT_READ | PROT_WRITE);
    uint32_t kind = random32() & 3, r = random32();
    for (int i = 0; i < TOTAL; i += 4)
        *(uint32_t *)(area + i) = kind == 0 ? 0 : kind == 1 ? 0x61616161 : kind == 2 ? i * 0x9e3779b1 : i / 512;
    for (int i = r & 3; i; i--)
        area[random32() % TOTAL] ^= 0x20;
    if (r & 4)
        for (int i = r >> 3 & 3; i; i--)
            mprotect(area + (random32() % PAGES) * SIZE, SIZE, random32() & 1 ? PROT_READ : PROT_NONE);
    struct registers state = {.ecx = some_count(), .eax = kind == 1 ? 0x61616161 : random32() & 0x61616161};
    uint32_t to = some_place(), from = random32() & 1 ? to + random32() % 41 - 20 : some_place();
    state.edi = (uintptr_t)area + to;
    state.esi = (uintptr_t)area + from;
    if (segment == 0)
        state.esi = (state.esi - base) & -4; /* no element lies across the segment's end */
    state.flags = (random32() & 0x8d5) | 2 | (random32() % 6 == 0 ? 0x400 : 0);
    patience = random32() & 3;
    if (!sigsetjmp(out, 1)) {
        ((void (*)(struct registers *))code)(&state);
        mix(state.ecx), mix(state.esi), mix(state.edi), mix(state.eax), mix(state.flags & SHOWN);
    }
    for (int i = 0; i < PAGES; i++)
        mprotect(area + i * SIZE, SIZE, PROT_READ | PROT_WRITE);
    for (int i = 0; i < TOTAL; i += 4)
        mix(*(uint32_t *)(area + i));
}

/* Fill over the insn itself with nops: what is left in ECX says when it was noticed. */
static void overwrite(const uint8_t *insn, int length, int size)
{
    uint8_t *at = code + 512;
    for (int round = 0; round < 3; round++) {
        for (int offset = -70; offset <= 8; offset++) {
            static const uint8_t head[] = {0x60, 0x8b, 0x7c, 0x24, 0x24, 0x8b, 0x74, 0x24, 0x28, 0x8b, 0x4c, 0x24, 0x2c,
                                           0xb8, 0x90, 0x90, 0x90, 0x90};
            static const uint8_t tail[] = {0x89, 0x4c, 0x24, 0x1c, 0x61, 0xc3}; /* mov [esp+28], ecx; popa */
            memset(code, 0x90, 1024);
            memcpy(at - sizeof head, head, sizeof head);
            memcpy(at, insn, length);
            memcpy(at + 400, tail, sizeof tail);
            uint32_t left = ((uint32_t(*)(void *, void *, uint32_t))(at - sizeof head))(at + offset, code + 1024, 300 / size);
            mix(left);
            if (round == 2 && offset % 10 == 0)
                printf(" %d", left);
        }
    }
    printf("\n");
}

static volatile unsigned ticks, torn;
static uint32_t first_edi, first_ecx;

static void tick(int signo, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)r[REG_EIP];
    if (at[0] == 0xf3 && at[1] == 0xaa && r[REG_EDI] >= (greg_t)first_edi) {
        ticks++;
        torn += r[REG_EDI] + r[REG_ECX] != first_edi + first_ecx;
    }
}

/* A signal in the middle sees the registers of an iteration; the insn goes on behind it. */
static void interrupted(void)
{
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    uint32_t size = 64 << 20;
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 100 && ticks < 5; i++) {
        uint8_t *d = p;
        uint32_t n = size;
        first_edi = (uint32_t)p;
        first_ecx = n;
        __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(i) : "memory");
        if (d != p + size || n)
            printf("stopped early\n");
        for (uint32_t k = 0; k < size; k += 4093)
            if (p[k] != i)
                printf("hole\n");
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("interrupted %d torn %u\n", ticks >= 5, torn);
    munmap(p, size);
}

int main(int argc, char **argv)
{
    static uint8_t stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    mmap(area, TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    code = mmap((void *)0x38000000, 2 * SIZE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    /* With this base a range inside the area goes through offset 0. */
    struct user_desc d = {.entry_number = -1, .base_addr = (uintptr_t)area + 3 * SIZE + 8, .limit = 0xfffff,
                          .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    syscall(SYS_set_thread_area, &d);
    __asm__ volatile("movw %w0,%%fs" :: "r"(d.entry_number * 8 + 3));
    for (int i = 1; i <= 4000; i++) {
        random_case(d.base_addr);
        if (i % 250 == 0)
            printf("%d: %d %08x\n", i, faults, hash);
    }
    overwrite((const uint8_t *)"\xf3\xaa", 2, 1);
    overwrite((const uint8_t *)"\x66\xf3\xab", 3, 2);
    overwrite((const uint8_t *)"\xf3\xab", 2, 4);
    memset(code + 1024, 0x90, 1024);
    overwrite((const uint8_t *)"\xf3\xa4", 2, 1);
    overwrite((const uint8_t *)"\xf3\xa5", 2, 4);
    printf("%08x\n", hash);
    interrupted();
    return 0;
}
