// Reads, writes and calls addresses all over the 4 GiB, surviving each fault; prints nothing but a count.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sigjmp_buf back;
static char stack[65536];
static volatile uint32_t reads, faults;
static void on_fault(int signal) { (void)signal; faults++; siglongjmp(back, 1); }
int main(int argc, char **argv) {
    uint32_t step = argc > 2 ? strtoul(argv[2], 0, 0) : 0x1000000;
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER};
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, 0);
    int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (int i = 0; i < 5; i++) sigaction(signals[i], &action, 0);
    static volatile uint64_t at;
    for (at = 0; at <= 0xffffffffull; at += step)
        if (sigsetjmp(back, 0) == 0) {
            if (!strcmp(argv[1], "read")) { (void)*(volatile char *)(uintptr_t)(at + 0xfff); reads++; (void)*(volatile uint32_t *)(uintptr_t)(at + 0xffd); }
            else if (!strcmp(argv[1], "float")) { asm volatile("fldt (%0); fstp %%st(0); movups (%0), %%xmm0" : : "r"((uint32_t)at - 7)); reads++; }
            else ((void (*)(void))(uintptr_t)at)();
        }
    printf("%s %u\n", argv[1], faults + reads > 0);
    return 0;
}
