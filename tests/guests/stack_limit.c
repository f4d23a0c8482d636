/* The stack: grown by alloca, push, call and wild pointers, down to its limit; limits of children. */
#define _GNU_SOURCE
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static char *top, room[65536];
static volatile unsigned esp_at_fault, address;

static void handler(int signo, siginfo_t *info, void *context)
{
    address = (unsigned)info->si_addr;
    esp_at_fault = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ESP];
    siglongjmp(back, signo);
}

static void near_limit(const char *name)
{
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    unsigned used = (unsigned)top - address;
    printf("%s: fault within the guard %d\n", name,
           used + 0x200000 > limit.rlim_cur && used < limit.rlim_cur + 0x200000);
}

static void __attribute__((noinline)) use(volatile char *p, size_t n)
{
    for (size_t i = 0; i < n; i += 512)
        p[n - 1 - i] = i;
}

static long __attribute__((noinline)) grow(int n)
{
    volatile char *p = alloca(n);
    use(p, n);
    return p[n - 1] + p[0];
}

static int __attribute__((noinline)) recurse(int n)
{
    volatile int here = n;
    return recurse(n + 1) + here;
}

#define TRY(name, ...) \
    do { \
        int signo = sigsetjmp(back, 1); \
        if (!signo) { \
            __VA_ARGS__; \
            printf("%s: fine\n", name); \
        } else { \
            printf("signal %d ", signo); \
            near_limit(name); \
        } \
    } while (0)

int main(int argc, char **argv)
{
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct rlimit limit;
    char here;
    top = &here;
    setbuf(stdout, NULL);
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    if (argc == 1) {
        limit.rlim_cur = 8 << 20;
        limit.rlim_max = RLIM_INFINITY;
        setrlimit(RLIMIT_STACK, &limit);
        execl("/proc/self/exe", argv[0], "8", NULL);
    }
    getrlimit(RLIMIT_STACK, &limit);
    printf("limit %lu\n", (unsigned long)limit.rlim_cur);
    for (int i = 0; i < 20; i++)
        grow(100000 * i + 1000);
    TRY("six megabytes", grow(6 << 20));
    TRY("nine megabytes", grow(9 << 20));
    TRY("recursion", recurse(0));
    TRY("push", __asm__ volatile("movl %%esp,%%ebx; 1: pushl %%eax; jmp 1b" ::: "ebx"));
    TRY("pusha", __asm__ volatile("movl %%esp,%%ebx; 1: pushal; jmp 1b" ::: "ebx"));
    TRY("call", __asm__ volatile("movl %%esp,%%ebx; 1: call 1b" ::: "ebx"));
    TRY("enter", __asm__ volatile("1: enter $4096,$3; jmp 1b" ::: "ebx"));
    /* far below the stack pointer, but within the limit: Linux grows the stack for that too */
    TRY("below the stack pointer", ((volatile char *)top)[-(5 << 20)] = 1);
    pid_t pid;
    int status;
    if (argv[1][0] == '8') {
        for (int size = 1; size <= 32; size *= 4) {
            char text[8] = {'s', '0' + size / 10, '0' + size % 10};
            pid = fork();
            if (!pid) {
                limit.rlim_cur = size << 20;
                setrlimit(RLIMIT_STACK, &limit);
                execl("/proc/self/exe", argv[0], text, NULL);
                _exit(99);
            }
            waitpid(pid, &status, 0);
            printf("child %d: %x\n", size, status);
        }
    }
    return 0;
}
