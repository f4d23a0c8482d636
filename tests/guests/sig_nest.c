/* Nested and masked signals, one-shot handlers, queues, interrupted calls, overflow of the alternate stack. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int depth, deepest, order[64], count;
static sigjmp_buf back;

static void note(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (++depth > deepest)
        deepest = depth;
    if (count < 64)
        order[count++] = signo * 100 + (info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
    if (signo == SIGUSR1 && count < 5)
        raise(SIGUSR1);
    depth--;
}

static void show(const char *name)
{
    printf("%s: deepest %d, order", name, deepest);
    for (int i = 0; i < count; i++)
        printf(" %d", order[i]);
    puts("");
    deepest = count = 0;
}

static void install(int signo, int flags, int mask)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    if (mask)
        sigaddset(&action.sa_mask, mask);
    sigaction(signo, &action, NULL);
}

static void alarm_in(int ms, int again)
{
    struct itimerval timer = {{0, again * 1000}, {0, ms * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void try(const char *name, long result)
{
    int error = errno;
    printf("%s: %ld %s\n", name, result, result < 0 ? strerror(error) : "");
}

static void tick(int signo) { (void)signo; }

static void calls(int flags)
{
    struct sigaction action = {.sa_handler = tick, .sa_flags = flags};
    struct timespec half = {0, 900000000}, left = {9, 9};
    struct timeval tv = {2, 0};
    struct pollfd fd;
    int p[2], go[2], status;
    char byte;
    fd_set set;
    pid_t pid;
    sigset_t empty;
    if (pipe(p) || pipe(go))
        return;
    fd = (struct pollfd){p[0], POLLIN, 0};
    sigaction(SIGALRM, &action, NULL);
    printf("flags %s\n", flags ? "restart" : "none");
    alarm_in(20, 20);
    try("nanosleep", nanosleep(&half, &left));
    printf("  left %d\n", left.tv_sec == 0 && left.tv_nsec > 50000000 && left.tv_nsec < 899999999);
    alarm_in(20, 20);
    try("poll", poll(&fd, 1, 1000));
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    alarm_in(20, 20);
    try("select", select(p[0] + 1, &set, NULL, NULL, &tv));
    alarm_in(20, 20);
    try("pause", pause());
    sigemptyset(&empty);
    alarm_in(20, 20);
    try("sigsuspend", sigsuspend(&empty));
    fflush(stdout);
    pid = fork();
    if (!pid) { /* without SA_RESTART only when the calls have been interrupted, however slow they are */
        if (flags)
            usleep(300000);
        else
            while (read(go[0], &byte, 1) < 0)
                ;
        if (write(p[1], "x", 1) != 1)
            _exit(1);
        _exit(3);
    }
    alarm_in(20, 20);
    try("read", read(p[0], &byte, 1));
    if (!flags)
        alarm_in(20, 20);
    try("waitpid", waitpid(pid, &status, 0) == pid ? 0 : -1);
    alarm_in(0, 0);
    if (!flags && write(go[1], "x", 1) != 1)
        exit(1);
    waitpid(pid, &status, 0);
    if (!flags)
        while (read(p[0], &byte, 1) < 0)
            ;
    close(p[0]);
    close(p[1]);
    close(go[0]);
    close(go[1]);
}

static volatile char *low;

static int deeper(int n)
{
    volatile char room[2000];
    room[0] = n;
    return n > 400 ? 0 : deeper(n + 1) + room[0];
}

static void overflow(int signo)
{
    (void)signo;
    printf("%d\n", deeper(0));
}

static void in_child(const char *name, void (*run)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        run();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    printf("%s: %x\n", name, status & ~0x80);
}

static void small_stack(void)
{
    char *area = malloc(200000);
    stack_t stack = {.ss_sp = area + 150000, .ss_size = 8192};
    struct sigaction action = {.sa_handler = overflow, .sa_flags = SA_ONSTACK};
    memset(area, 0x11, 150000);
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    freopen("/dev/null", "w", stderr);
    /* a guard page below would be hit; here it runs over the heap and into what is not mapped */
    raise(SIGUSR2);
}

static void no_room(void)
{
    struct sigaction action = {.sa_handler = overflow};
    sigaction(SIGSEGV, &action, NULL);
    __asm__ volatile("movl $0x1008,%%esp; movl $0,0" ::: "memory");
}

static void blocked_fault(void)
{
    sigset_t set;
    struct sigaction action = {.sa_handler = overflow};
    sigaction(SIGSEGV, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *(volatile int *)8 = 1;
}

static void ignored_fault(void)
{
    signal(SIGSEGV, SIG_IGN);
    *(volatile int *)8 = 1;
}

static void ignored_kill(void)
{
    signal(SIGSEGV, SIG_IGN);
    kill(getpid(), SIGSEGV);
    puts("goes on");
    fflush(stdout);
}

static void twice(int signo)
{
    (void)signo;
    *(volatile int *)16 = 1; /* blocked inside its own handler */
}

static void fault_in_fault(void)
{
    struct sigaction action = {.sa_handler = twice};
    sigaction(SIGSEGV, &action, NULL);
    *(volatile int *)8 = 1;
}

static int faults;

static void deep_fault(int signo)
{
    (void)signo;
    if (++faults < 20)
        *(volatile int *)(16 + faults) = 1;
    siglongjmp(back, 1);
}

int main(void)
{
    union sigval value;
    sigset_t set, old;
    setbuf(stdout, NULL);
    install(SIGUSR1, SA_NODEFER, 0);
    raise(SIGUSR1);
    show("nodefer");
    install(SIGUSR1, 0, 0);
    raise(SIGUSR1); /* the inner ones come after the return, one each */
    show("deferred");
    install(SIGUSR2, SA_RESETHAND, 0);
    raise(SIGUSR2);
    struct sigaction now;
    sigaction(SIGUSR2, NULL, &now);
    printf("reset to default: %d flags %x\n", now.sa_handler == SIG_DFL, now.sa_flags & 0xbffffff);
    show("one shot");
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, &old);
    for (int i = 0; i < 3; i++)
        for (int s = SIGRTMIN + 3; s >= SIGRTMIN; s -= 3) {
            install(s, 0, SIGRTMIN);
            value.sival_int = 10 + i;
            sigqueue(getpid(), s, value);
        }
    install(SIGUSR2, 0, 0);
    raise(SIGUSR2);
    raise(SIGUSR2);
    sigpending(&set);
    printf("pending %d %d %d\n", sigismember(&set, SIGUSR2), sigismember(&set, SIGRTMIN), sigismember(&set, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, NULL);
    show("queued");
    calls(0);
    calls(SA_RESTART);
    in_child("alternate stack too small", small_stack);
    in_child("no room for a frame", no_room);
    in_child("blocked fault", blocked_fault);
    in_child("ignored fault", ignored_fault);
    in_child("ignored kill", ignored_kill);
    in_child("fault in its handler", fault_in_fault);
    struct sigaction action = {.sa_handler = deep_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    if (!sigsetjmp(back, 1))
        *(volatile int *)8 = 1;
    printf("faults inside faults %d\n", faults);
    alarm(1);
    signal(SIGALRM, tick);
    printf("alarm left %u", alarm(5));
    printf(" %u\n", alarm(0));
    return 0;
}
