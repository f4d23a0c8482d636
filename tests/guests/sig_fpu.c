/* FPU and SSE state across a handler: fresh inside, restored outside, changeable through the frame. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static int change;

static void handler(int signo, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
    unsigned short control, status;
    unsigned csr, low[4];
    unsigned char *fx = (unsigned char *)fp + 112;
    (void)signo;
    (void)si;
    __asm__ volatile("fnstcw %0; fnstsw %1; stmxcsr %2; movups %%xmm3,%3"
                     : "=m"(control), "=m"(status), "=m"(csr), "=m"(low));
    printf("fresh: cw %x sw %x mxcsr %x xmm3 %x\n", control, status, csr, low[0]);
    printf("frame: cw %lx sw %lx tag %lx status %x mxcsr %x xmm3 %x\n", fp->cw, fp->sw, fp->tag,
           (unsigned)fp->status & 0xffff, *(unsigned *)(fx + 24), *(unsigned *)(fx + 160 + 48));
    printf("st0 %x %x %x %x %x\n", fp->_st[0].significand[0], fp->_st[0].significand[1],
           fp->_st[0].significand[2], fp->_st[0].significand[3], fp->_st[0].exponent);
    printf("magic %x\n", *(unsigned *)(fx + 464));
    __asm__ volatile("fninit; fldpi; fldl2e; pcmpeqd %%xmm3,%%xmm3" ::: "xmm3");
    if (change) {
        fp->_st[0].exponent++;                      /* doubles st(0) */
        *(unsigned *)(fx + 160 + 48) = 0xfeedface;  /* xmm3 */
        fp->cw = 0xffff0b7f;                        /* round down */
    }
    __asm__ volatile("fninit");
}

int main(void)
{
    struct sigaction sa;
    unsigned csr = 0x3f80, pattern[4] = {0xcafe0000, 1, 2, 3}, out[4];
    unsigned short control;
    double st0, st1;

    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = handler;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &sa, NULL);
    for (change = 0; change < 2; change++) {
        int pid = getpid();
        double a = 1.5, b = -2.25;
        fflush(stdout);
        __asm__ volatile("fninit; fldl %7; fldl %6; movups %8,%%xmm3; ldmxcsr %9;"
                         "movl $37,%%eax; int $0x80;"
                         "fnstcw %0; fstpl %1; fstpl %2; movups %%xmm3,%3; stmxcsr %4; fninit"
                         : "=m"(control), "=m"(st0), "=m"(st1), "=m"(out), "=m"(csr)
                         : "b"(pid), "m"(a), "m"(b), "m"(pattern), "m"(csr), "c"(SIGUSR1)
                         : "eax", "xmm3", "memory");
        printf("after: cw %x st0 %g st1 %g xmm3 %x %x mxcsr %x\n", control, st0, st1, out[0], out[3], csr);
        unsigned normal = 0x1f80;
        __asm__ volatile("ldmxcsr %0" :: "m"(normal));
        csr = 0x3f80;
    }
    return 0;
}
