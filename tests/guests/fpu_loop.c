/* x87 loops that run for long and then fault: the status word, C1 included, and all registers at
 * the fault, whatever insn of which iteration set them. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf back;
static unsigned hash;

static void on_segv(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
    printf(" sw %04lx tag %04lx", fp->sw & 0xffff, fp->tag & 0xffff);
    for (int i = 0; i < 8; i++) {
        const unsigned char *at = (const unsigned char *)&fp->_st[i];
        for (int k = 0; k < 10; k++)
            hash = hash * 31 + at[k];
    }
    printf(" regs %08x ecx %d fault %d\n", hash, uc->uc_mcontext.gregs[REG_ECX] & 0xffff,
           (int)((uintptr_t)info->si_addr & 0xfff));
    siglongjmp(back, 1);
}

#define LOOP(name, body)                                                                          \
    static void name(double *from, double *to, double *add, int count)                            \
    {                                                                                             \
        __asm__ volatile("fninit; fldpi; fldl2e\n1:" body "dec %2; jnz 1b; fninit"                \
                         : "+S"(from), "+D"(to), "+c"(count)                                      \
                         : "b"(add)                                                               \
                         : "memory", "cc");                                                       \
    }
LOOP(load_add_store, "fldl (%0); faddl (%3); fstpl (%1); add $8, %0; add $8, %1; ")
LOOP(add_registers, "fadd %%st(1), %%st; fldl (%0); fmul %%st(1), %%st; fstp %%st(2); add $8, %0; ")
LOOP(store_then_load, "fld %%st(0); fmull (%3); fstps (%1); fldl (%0); fstp %%st(0); add $8, %0; ")
LOOP(branches, "fldl (%0); test $1, %2; jz 2f; fsqrt; jmp 3f; 2: fdivl (%3); 3: add $8, %0; fstpl (%1); ")
LOOP(exchanges, "fldl (%0); fxch; fsub %%st(2), %%st; fxch; fstp %%st(0); fldl 8(%0); fistpl (%1); add $8, %0; ")

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, 0);
    int size = 1 << 20;
    char *area = mmap((void *)0x30000000, 2 * size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mprotect(area + size, size, PROT_NONE);
    double add = 0.1;
    typedef void Loop(double *, double *, double *, int);
    Loop *loops[] = {load_add_store, add_registers, store_then_load, branches, exchanges};
    for (int round = 0; round < 6; round++)
        for (unsigned i = 0; i < sizeof loops / sizeof *loops; i++)
            for (int offset = 0; offset < 3; offset++) {
                double *values = (double *)(area + (offset == 1 ? 4 : 0));
                int count = size / 8 - 1;
                for (int k = 0; k < count; k++)
                    values[k] = 1.0 + (k * 2654435761u + round) / 3.0;
                double *to = offset == 2 ? (double *)(area + size - 8 * (1000 + round)) : (double *)area;
                printf("%d %u %d:", round, i, offset);
                fflush(stdout);
                if (!sigsetjmp(back, 1)) {
                    loops[i](values, to, &add, count + 100);
                    printf(" no fault\n");
                }
            }
    return 0;
}
