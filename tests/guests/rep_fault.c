/* Repeated string insns that fault on their way; the handler makes the page accessible and goes on. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { SIZE = 4096, PAGES = 6 };
static uint8_t *from = (uint8_t *)0x30000000, *to = (uint8_t *)0x40000000;
static int faults, quiet;

static void handler(int signo, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & -SIZE);
    faults++;
    if (!quiet)
        printf("  fault %p error %d ecx %d esi %x edi %x eax %x df %d\n", info->si_addr,
               r[REG_ERR] & ~1, r[REG_ECX], r[REG_ESI], r[REG_EDI], r[REG_EAX], r[REG_EFL] >> 10 & 1);
    if (info->si_code == SEGV_MAPERR) {
        mmap(page, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memset(page, (uintptr_t)page >> 12, SIZE);
    } else
        mprotect(page, SIZE, PROT_READ | PROT_WRITE);
}

static unsigned sum(const uint8_t *p)
{
    unsigned total = 0;
    for (int i = 0; i < PAGES * SIZE; i++) {
        if (i % SIZE == 0 && msync((void *)(p + i), SIZE, MS_ASYNC)) { /* not mapped */
            total = total * 7 + 1;
            i += SIZE - 1;
            continue;
        }
        total = total * 31 + p[i];
    }
    return total;
}

static void prepare(int protection)
{
    for (int i = 0; i < 2; i++) {
        uint8_t *p = i ? to : from;
        mmap(p, PAGES * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        for (int k = 0; k < PAGES * SIZE; k++)
            p[k] = i ? 0x77 : k * 2654435761u >> 24;
        for (int k = 1; k < PAGES; k += 1 + i)
            if (protection < 0)
                munmap(p + k * SIZE, SIZE);
            else
                mprotect(p + k * SIZE, SIZE, protection);
    }
}

#define STRING(name, insn) \
    static void name(void *a, void *b, unsigned n, unsigned value, int down) \
    { \
        unsigned c, s, d, v = value; \
        uint8_t zero; \
        if (down) \
            __asm__ volatile("std; cmpb %%al,%%al; " insn "; setz %4; cld" : "=c"(c), "=S"(s), "=D"(d), "+a"(v), "=m"(zero) : "0"(n), "1"(a), "2"(b) : "memory", "cc"); \
        else \
            __asm__ volatile("cld; cmpb %%al,%%al; " insn "; setz %4" : "=c"(c), "=S"(s), "=D"(d), "+a"(v), "=m"(zero) : "0"(n), "1"(a), "2"(b) : "memory", "cc"); \
        printf("  ecx %d esi %x edi %x eax %x zf %d\n", c, s, d, v, zero); \
    }
STRING(movsb, "rep movsb")
STRING(movsw, "rep movsw")
STRING(movsl, "rep movsl")
STRING(stosb, "rep stosb")
STRING(stosl, "rep stosl")
STRING(lodsb, "rep lodsb")
STRING(cmpsb, "repe cmpsb")
STRING(cmpsl, "repne cmpsl")
STRING(scasb, "repne scasb")
STRING(scasl, "repe scasl")

static struct { const char *name; void (*run)(void *, void *, unsigned, unsigned, int); int size, odd; } tests[] = {
    {"movsb", movsb, 1, 5}, {"movsw", movsw, 2, 7}, {"movsl", movsl, 4, 5}, {"movsl aligned", movsl, 4, 8},
    {"stosb", stosb, 1, 3}, {"stosl", stosl, 4, 6}, {"lodsb", lodsb, 1, 9}, {"cmpsb", cmpsb, 1, 3},
    {"cmpsl", cmpsl, 4, 2}, {"scasb", scasb, 1, 1}, {"scasl", scasl, 4, 3},
};

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    for (int protection = -1; protection < 2; protection++)
        for (int down = 0; down < 2; down++)
            for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
                unsigned n = (PAGES - 1) * SIZE / tests[i].size - 40;
                unsigned at = down ? (PAGES - 1) * SIZE + 100 - tests[i].odd : tests[i].odd;
                prepare(protection);
                printf("%s %s protection %d\n", tests[i].name, down ? "down" : "up", protection);
                tests[i].run(from + at, to + at + (down ? -3 : 3), n, 0x77777777, down);
                printf("  %x %x\n", sum(from), sum(to));
            }
    /* A fault in every single iteration: source and destination closed again in between. */
    prepare(PROT_READ | PROT_WRITE);
    quiet = 1;
    faults = 0;
    for (int i = 0; i < 300; i++) {
        void *s = from + SIZE - 4 + i % 8, *d = to + 2 * SIZE - 4 + i % 6;
        unsigned n = 12;
        mprotect(from + SIZE, SIZE, PROT_NONE);
        mprotect(to + 2 * SIZE, SIZE, i & 1 ? PROT_READ : PROT_NONE);
        __asm__ volatile("rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
    }
    printf("many %d %x\n", faults, sum(to));
    return 0;
}
