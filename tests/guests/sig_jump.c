/* Handlers that leave by siglongjmp: every kind of fault, stack overflow, in threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static __thread sigjmp_buf back;
static __thread volatile int code;
static __thread char *volatile where;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    where = info->si_addr;
    siglongjmp(back, signo);
}

static void use_own_stack(void)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&stack, NULL);
}

static volatile int depth;

static int recurse(int n)
{
    volatile char room[4096];
    room[0] = n;
    depth = n;
    return recurse(n + 1) + room[0];
}

static void *faults(void *number)
{
    volatile long right = 0;
    use_own_stack();
    for (volatile int i = 0; i < 100; i++) {
        char *place = (char *)0x1000 + ((long)number << 8) + i * 4;
        if (!sigsetjmp(back, 1))
            *(volatile int *)place = 1;
        else if (where == place)
            right++;
    }
    return (void *)right;
}

#define TRY(name, ...) \
    do { \
        int signo = sigsetjmp(back, 1); \
        if (!signo) { \
            __VA_ARGS__; \
            printf(name ": nothing\n"); \
        } else \
            printf(name ": signal %d code %d at %lx\n", signo, code, (long)where - base); \
    } while (0)

static void child(const char *name, void (*disposition)(int), int is_blocked)
{
    int status;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGSEGV);
    fflush(stdout);
    if (fork() == 0) {
        signal(SIGSEGV, disposition);
        if (is_blocked)
            sigprocmask(SIG_BLOCK, &mask, NULL);
        *(volatile int *)0 = 0;
        _exit(0);
    }
    wait(&status);
    printf("%s: %x\n", name, status & 0x7f);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    volatile long base = 0;
    volatile int zero = 0;
    pthread_t threads[6];
    for (int i = 0; i < 4; i++)
        sigaction(signals[i], &action, NULL);
    use_own_stack();
    setrlimit(RLIMIT_STACK, &limit);
    for (volatile int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1))
            recurse(0);
        else
            printf("overflow: code %d, deep %d\n", code, depth > 100);
    for (long i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, faults, (void *)i);
    for (int i = 0; i < 6; i++) {
        void *right;
        pthread_join(threads[i], &right);
        printf("thread: %ld\n", (long)right);
    }
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    base = (long)page;
    TRY("read-only", page[5] = 1);
    mprotect(page, 4096, PROT_NONE);
    TRY("none", zero = page[6]);
    munmap(page, 4096);
    TRY("unmapped", zero = page[7]);
    TRY("not executable", ((void (*)(void))(page + 4096))());
    base = 0;
    TRY("jump", ((void (*)(void))0x12345)());
    TRY("privileged", asm volatile("hlt"));
    TRY("no gate", asm volatile("int $0x81"));
    TRY("no stack", asm volatile("movl $0, %%esp; pushl %%eax" ::: "memory"));
    printf("write: %zd %d\n", write(1, (void *)0x10, 5), errno == EFAULT);
    child("default", SIG_DFL, 0);
    child("ignored", SIG_IGN, 0);
    child("blocked", SIG_DFL, 1);
    return 0;
}
