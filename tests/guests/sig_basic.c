/* Dispositions, masks, queueing, waiting and the alternate stack; prints what must equal native. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int depth, count;
static char stack[65536];
static const char *outer;

static void plain(int signo)
{
    printf("plain %d depth %d\n", signo, depth);
}

static void info(int signo, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    int code = si->si_code;
    printf("info %d code %d pid %d uid %d value %d link %p flags %#lx\n", signo, code,
           si->si_pid == getpid(), si->si_uid == getuid(), code == SI_QUEUE ? si->si_value.sival_int : 0,
           (void *)uc->uc_link, uc->uc_flags);
}

static void nested(int signo)
{
    sigset_t mask;
    int level = ++depth;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    printf("enter %d usr1 %d usr2 %d term %d\n", level, sigismember(&mask, SIGUSR1),
           sigismember(&mask, SIGUSR2), sigismember(&mask, SIGTERM));
    if (level < 3)
        raise(signo);
    printf("leave %d\n", level);
    depth--;
}

static void on_stack(int signo, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    stack_t now;
    char here;
    (void)si;
    sigaltstack(NULL, &now);
    printf("alt %d inside %d flags %d uc: sp %d flags %d size %zu\n", signo,
           &here > stack && &here < stack + sizeof stack, now.ss_flags,
           uc->uc_stack.ss_sp == stack, uc->uc_stack.ss_flags, uc->uc_stack.ss_size);
    printf("change on the stack: %d %d\n", sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL), errno);
}

static void set(int signo, void *handler, int flags, int also)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler;
    sa.sa_flags = flags;
    if (also)
        sigaddset(&sa.sa_mask, also);
    if (sigaction(signo, &sa, NULL))
        perror("sigaction");
}

static void show_pending(const char *title)
{
    sigset_t set;
    sigpending(&set);
    printf("%s:", title);
    for (int i = 1; i < 64; i++)
        if (sigismember(&set, i) == 1)
            printf(" %d", i);
    puts("");
}

int main(void)
{
    sigset_t mask, old;
    struct sigaction sa;
    struct timespec zero = {0, 0};
    siginfo_t si;

    setvbuf(stdout, NULL, _IONBF, 0);
    outer = "main";
    set(SIGUSR1, plain, 0, 0);
    raise(SIGUSR1);
    set(SIGUSR2, info, SA_SIGINFO, 0);
    raise(SIGUSR2);
    kill(getpid(), SIGUSR2);
    sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 4711});

    set(SIGUSR1, nested, SA_NODEFER, SIGTERM);
    raise(SIGUSR1);

    set(SIGUSR1, plain, SA_RESETHAND, 0);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &sa);
    printf("after resethand: default %d\n", sa.sa_handler == SIG_DFL);

    /* Two signals wait; both handlers run when they are unblocked. */
    set(SIGUSR1, plain, 0, 0);
    set(SIGTERM, plain, 0, 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &mask, &old);
    raise(SIGTERM);
    raise(SIGUSR1);
    raise(SIGUSR1);
    show_pending("pending");
    sigprocmask(SIG_SETMASK, &old, NULL);
    show_pending("none");

    /* Real-time signals queue with their values, lower numbers first. */
    set(SIGRTMIN, info, SA_SIGINFO, 0);
    set(SIGRTMIN + 1, info, SA_SIGINFO, 0);
    sigaddset(&mask, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &mask, &old);
    for (int i = 0; i < 3; i++) {
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i});
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    }
    printf("timed wait %d", sigtimedwait(&mask, &si, &zero));
    printf(" value %d\n", si.si_value.sival_int);
    sigprocmask(SIG_SETMASK, &old, NULL);

    /* Ignored and discarded. */
    sigprocmask(SIG_BLOCK, &mask, &old);
    raise(SIGTERM);
    set(SIGTERM, SIG_IGN, 0, 0);
    show_pending("discarded");
    set(SIGTERM, plain, 0, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);

    printf("timed wait %d %d\n", sigtimedwait(&mask, &si, &zero), errno == EAGAIN);

    /* sigsuspend: the handler runs, the mask is back afterwards. */
    sigprocmask(SIG_BLOCK, &mask, &old);
    raise(SIGUSR1);
    sigset_t empty;
    sigemptyset(&empty);
    printf("suspend %d", sigsuspend(&empty));
    printf(" %d\n", errno == EINTR);
    sigprocmask(SIG_SETMASK, &old, &mask);
    printf("still blocked %d\n", sigismember(&mask, SIGUSR1));

    printf("bad signal %d %d\n", sigaction(SIGKILL, &sa, NULL), errno == EINVAL);
    errno = 0;
    printf("kill 0: %d, kill bad: %d", kill(getpid(), 0), kill(getpid(), 99));
    printf(" %d\n", errno == EINVAL);

    stack_t alt = {.ss_sp = stack, .ss_size = 100}, was;
    printf("small stack %d %d\n", sigaltstack(&alt, NULL), errno == ENOMEM);
    alt.ss_size = sizeof stack;
    sigaltstack(&alt, &was);
    printf("was disabled %d\n", was.ss_flags == SS_DISABLE);
    set(SIGUSR1, on_stack, SA_SIGINFO | SA_ONSTACK, 0);
    raise(SIGUSR1);
    alt.ss_flags = 1 << 31; /* SS_AUTODISARM */
    sigaltstack(&alt, NULL);
    sigaltstack(NULL, &was);
    printf("autodisarm %#x\n", was.ss_flags);
    alt.ss_flags = SS_DISABLE;
    sigaltstack(&alt, NULL);

    /* The old calls: signal is one-shot, sigaction has 32 signals. */
    syscall(SYS_signal, SIGUSR1, plain);
    raise(SIGUSR1);
    printf("old signal: %ld\n", syscall(SYS_signal, SIGUSR1, SIG_IGN));
    printf("sgetmask %ld", syscall(SYS_sgetmask));
    printf(" ssetmask %ld", syscall(SYS_ssetmask, 1 << (SIGUSR1 - 1)));
    printf(" sgetmask %ld\n", syscall(SYS_sgetmask));
    return 0;
}
