/* x87 and SSE state across longjmp out of handlers, contexts of ucontext.h, nested handlers. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static jmp_buf plain;

static void show(const char *name)
{
    struct { uint16_t w[14]; uint8_t st[80]; } image;
    unsigned mxcsr;
    __asm__ volatile("fnsave %0; frstor %0; stmxcsr %1" : "=m"(image), "=m"(mxcsr));
    printf("%s: cw %x sw %x tags %x mxcsr %x\n", name, image.w[0], image.w[2], image.w[4], mxcsr);
    for (int i = 0; i < 8; i++)
        if ((image.w[4] >> 2 * ((i + (image.w[2] >> 11 & 7)) & 7) & 3) != 3) {
            printf("  st%d", i);
            for (int k = 9; k >= 0; k--)
                printf(" %02x", image.st[10 * i + k]);
            puts("");
        }
}

static void fill(int n)
{
    unsigned mxcsr = 0x1f80 | n << 13;
    uint16_t control = 0x37f & ~(n << 8) | n << 10;
    __asm__ volatile("fninit; fldcw %0; ldmxcsr %1" : : "m"(control), "m"(mxcsr));
    for (int i = 0; i < n * 2; i++)
        __asm__ volatile("fldpi; fild %0; faddp" : : "m"(i));
}

static void on_signal(int signo)
{
    show("in handler");
    __asm__ volatile("fld1; fldl2e");
    if (signo == SIGUSR1)
        siglongjmp(back, 1);
    if (signo == SIGUSR2) {
        raise(SIGHUP);
        show("after inner");
    }
    __asm__ volatile("fninit");
}

static ucontext_t main_context, contexts[3];
static char stacks[3][65536];
static int turns;

static void routine(int number, int a, int b)
{
    fill(number);
    for (int i = 0; i < 3; i++) {
        char name[32];
        sprintf(name, "context %d turn %d", number, i);
        show(name);
        turns = turns * 10 + number + a - b;
        swapcontext(&contexts[number], i == 2 ? &main_context : &contexts[(number + 1) % 3]);
        double x = 1.0 / 3;
        __asm__ volatile("fldl %0; frndint; fistpl %1" : : "m"(x), "m"(turns));
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP};
    setbuf(stdout, NULL);
    for (int i = 0; i < 3; i++)
        sigaction(signals[i], &action, NULL);
    for (volatile int n = 0; n < 4; n++) {
        fill(n);
        if (!sigsetjmp(back, 1))
            raise(SIGUSR1);
        show("jumped out");
        fill(n);
        raise(SIGUSR2);
        show("returned");
        fill(n);
        if (!setjmp(plain)) {
            __asm__ volatile("fld1");
            longjmp(plain, 1);
        }
        show("plain jump");
    }
    /* a signal while MMX registers are in use */
    __asm__ volatile("fninit; movd %0,%%mm3; paddd %%mm3,%%mm3" : : "r"(0x1234));
    raise(SIGHUP);
    unsigned low;
    __asm__ volatile("movd %%mm3,%0; emms" : "=r"(low));
    printf("mm3 %x\n", low);
    __asm__ volatile("fninit");
    for (int i = 0; i < 3; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], (void (*)(void))routine, 3, i, 5, 4);
    }
    for (int i = 0; i < 4; i++) {
        turns = 0;
        swapcontext(&main_context, &contexts[i % 3]);
        printf("turns %d\n", turns);
        show("main");
        if (i == 0)
            break;
    }
    ucontext_t again;
    volatile int times = 0;
    getcontext(&again);
    if (times++ < 3) {
        fill(times);
        setcontext(&again);
    }
    show("setcontext");
    return 0;
}
