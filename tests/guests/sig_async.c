/* Signals at random moments in string insns, x87 and SSE chains, changing code: results stay exact. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

static volatile unsigned ticks, wrong;
static uint8_t source[65536], target[65536];
extern char repeated[];
static unsigned total;

static void handler(int signo, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    ticks++;
    if (r[REG_EIP] == (greg_t)repeated) { /* between two iterations everything must fit */
        unsigned done = r[REG_EDI] - (unsigned)target;
        if (done + r[REG_ECX] != sizeof source || r[REG_ESI] - (unsigned)source != done)
            wrong++;
    }
    /* whatever the handler does to the FPU must not be seen */
    __asm__ volatile("fninit; fldpi; fldln2; fld1; fldz; pcmpeqd %%xmm0,%%xmm0; pxor %%xmm1,%%xmm1;"
                     "pcmpeqd %%xmm7,%%xmm7; std; cld; stc" ::: "xmm0", "xmm1", "xmm7", "cc");
    (void)signo;
    (void)info;
}

static unsigned strings(void)
{
    unsigned sum = 0;
    for (int round = 0; round < 30; round++) {
        void *s = source, *d = target;
        unsigned n = sizeof source;
        memset(target, 0, sizeof target);
        __asm__ volatile(".globl repeated\nrepeated: rep movsb" : "+S"(s), "+D"(d), "+c"(n) : : "memory");
        sum = sum * 31 + memcmp(source, target, sizeof source) + n;
        source[round * 7]++;
        d = target;
        n = sizeof target;
        __asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"(256) : "cc");
        sum = sum * 31 + n;
    }
    return sum;
}

static unsigned x87(void)
{
    long double x = 1, y = 0;
    for (int i = 1; i < 60000; i++) {
        x = x * 1.0000001L + 1.0L / i;
        y += x / (y + 1) - (i & 1 ? .5L : .25L);
    }
    unsigned char bytes[20] = {0};
    memcpy(bytes, &x, 10);
    memcpy(bytes + 10, &y, 10);
    unsigned sum = 0;
    for (int i = 0; i < 20; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static unsigned stack_of_eight(void)
{
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        double part;
        __asm__ volatile("fld1; fld1; faddp; fld %%st; fldpi; fld1; fldl2e; fld %%st(2); fldlg2; fldln2;"
                         "faddp; faddp; faddp; fmulp; faddp; faddp; faddp; fstpl %0" : "=m"(part));
        sum += part * i;
    }
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    return bits ^ bits >> 32;
}

static unsigned vectors(void)
{
    unsigned out[4], sum = 0;
    __asm__ volatile("pcmpeqd %%xmm0,%%xmm0; psrld $31,%%xmm0; pxor %%xmm1,%%xmm1; pxor %%xmm2,%%xmm2;"
                     "movl $200000,%%ecx; 1: paddd %%xmm0,%%xmm1; pxor %%xmm1,%%xmm2; pslld $1,%%xmm2;"
                     "paddd %%xmm1,%%xmm2; decl %%ecx; jnz 1b; movups %%xmm2,%0"
                     : "=m"(out) : : "ecx", "xmm0", "xmm1", "xmm2");
    for (int i = 0; i < 4; i++)
        sum = sum * 31 + out[i];
    return sum;
}

static unsigned flags(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < 200000; i++) {
        unsigned f;
        __asm__ volatile("addl %2,%1; pushfl; popl %0; adcl $0,%1" : "=r"(f), "+r"(sum) : "r"(i * 2654435761u) : "cc");
        sum += f & 0x8d5;
    }
    return sum;
}

static unsigned changing(void)
{
    uint8_t *code = mmap(0, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at = code + 4093;
    unsigned sum = 0;
    for (unsigned i = 0; i < 1500; i++) {
        *at = 0xb8; /* mov eax,i; ret */
        memcpy(at + 1, &i, 4);
        at[5] = 0xc3;
        sum = sum * 31 + ((unsigned (*)(void))at)();
    }
    munmap(code, 8192);
    return sum;
}

int main(void)
{
    static unsigned (*const parts[])(void) = {strings, x87, stack_of_eight, vectors, flags, changing};
    static const char *const names[] = {"strings", "x87", "stack of eight", "vectors", "flags", "changing"};
    unsigned want[6];
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct itimerval timer = {{0, 1100}, {0, 1100}}, none = {{0}};
    for (unsigned i = 0; i < sizeof source; i++)
        source[i] = i * 2654435761u >> 24 | 1;
    for (int i = 0; i < 6; i++) {
        if (i == 0)
            for (int k = 0; k < 30; k++)
                source[k * 7] = 3;
        want[i] = parts[i]();
        printf("%s %x\n", names[i], want[i]);
    }
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < 6; i++) {
        unsigned before = ticks, rounds = 0, bad = 0;
        time_t until = time(NULL) + 2;
        while (ticks - before < 60 && time(NULL) <= until) {
            if (i == 0)
                for (int k = 0; k < 30; k++)
                    source[k * 7] = 3;
            bad += parts[i]() != want[i];
            rounds++;
        }
        printf("%s: %u wrong of some rounds, interrupted %d\n", names[i], bad, ticks > before);
    }
    setitimer(ITIMER_REAL, &none, NULL);
    printf("inconsistent frames %u\n", wrong);
    return 0;
}
