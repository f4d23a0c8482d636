// Executes random bytes, again and again, on its own stack and pages; whatever happens, time ends it.
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static sigjmp_buf back;
static char stack[65536];
static uint32_t seed, runs;
static uint32_t next(void) { seed ^= seed << 13; seed ^= seed >> 17; seed ^= seed << 5; return seed; }
static void on_signal(int signal) { (void)signal; siglongjmp(back, 1); }
int main(int argc, char **argv) {
    seed = argc > 1 ? strtoul(argv[1], 0, 0) : 1;
    uint32_t wanted = argc > 2 ? strtoul(argv[2], 0, 0) : 100;
    uint8_t *code = mmap(0, 8192, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};
    for (int s = 1; s < 20; s++) if (s != SIGKILL && s != SIGTERM) sigaction(s, &action, 0);
    struct itimerval often = {{0, 50000}, {0, 50000}};
    for (runs = 0; runs < wanted; runs++)
        if (sigsetjmp(back, 1) == 0) {
            for (int i = 0; i < 4096; i++) code[i] = next() >> 8;
            // No system calls: they would be real ones.
            for (int i = 0; i < 4095; i++) if ((code[i] == 0xcd && code[i + 1] == 0x80) || (code[i] == 0x0f && (code[i + 1] == 0x34 || code[i + 1] == 5))) code[i] = 0x90;
            setitimer(ITIMER_REAL, &often, 0);
            asm volatile("pushal; subl $4096, %%esp; movl %%esp, %%ebp; call *%0; addl $4096, %%esp; popal" : : "r"(code + next() % 4000) : "memory", "cc");
        }
    printf("survived\n");
    return 0;
}
