/* System calls that a signal interrupts: EINTR, restart by SA_RESTART, time that is left. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int hits;
static volatile int feed = -1;

static int quiet = 1;
#define report(...) (quiet ? snprintf(scratch, sizeof scratch, __VA_ARGS__) : printf(__VA_ARGS__))
static char scratch[200];

static void handler(int signo)
{
    (void)signo;
    hits++;
    if (feed >= 0) {
        write(feed, "x", 1);
        feed = -1;
    }
}

static void arm(int flags, int milliseconds)
{
    struct sigaction sa;
    /* Again and again: a slow guest may not be in the call yet. */
    struct itimerval it = {{0, milliseconds * 1000}, {0, milliseconds * 1000}};
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = handler;
    sa.sa_flags = flags;
    sigaction(SIGALRM, &sa, NULL);
    hits = 0;
    setitimer(ITIMER_REAL, &it, NULL);
}

static void show(const char *title, int result)
{
    int code = errno;
    report("%s: %d %s hit %d\n", title, result, result < 0 ? strerror(code) : "-", hits > 0);
}

int main(void)
{
    int p[2], go[2], status;
    char c;
    struct timespec wait = {2, 0}, left;
    struct timeval tv;
    fd_set set;
    struct pollfd pfd;

    setvbuf(stdout, NULL, _IONBF, 0);
    pipe(p);
    pipe(go);
    /* The first round is for a translator: afterwards 20 ms are a long time. */
    for (int round = 0; round < 3; round++) {
        int flags = round == 2 ? SA_RESTART : 0;
        quiet = round == 0;
        report("flags %x\n", flags);
        arm(flags, 20);
        feed = flags ? p[1] : -1; /* what ends the call that is made again */
        show("read", read(p[0], &c, 1));

        arm(flags, 20);
        show("nanosleep", nanosleep(&wait, &left));
        report("left more than 1.5: %d\n", left.tv_sec == 1 && left.tv_nsec > 500000000);
        arm(flags, 20);
        show("clock_nanosleep", clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, &left));
        pfd = (struct pollfd){p[0], POLLIN, 0};
        arm(flags, 20);
        show("poll", poll(&pfd, 1, 2000));
        FD_ZERO(&set);
        FD_SET(p[0], &set);
        tv = (struct timeval){2, 0};
        arm(flags, 20);
        show("select", select(p[0] + 1, &set, NULL, NULL, &tv));
        arm(flags, 20);
        show("pause", pause());

        pid_t child = fork();
        if (child == 0) {
            if (flags)
                usleep(80000);
            else
                read(go[0], &c, 1);
            _exit(7);
        }
        arm(flags, 20);
        int result = waitpid(child, &status, 0);
        show("waitpid", result < 0 ? -1 : 0);
        arm(SA_RESTART, 0);
        if (result < 0) {
            write(go[1], "x", 1);
            waitpid(child, &status, 0);
        }
        report("child %d\n", WEXITSTATUS(status));

        int sv[2];
        socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
        arm(flags, 20);
        feed = flags ? sv[1] : -1;
        show("recv", recv(sv[0], &c, 1, 0));
        struct timeval limit = {2, 0};
        setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        arm(flags, 20);
        show("recv with timeout", recv(sv[0], &c, 1, 0));
        close(sv[0]);
        close(sv[1]);
    }
    /* Ignored signals disturb nothing: the sleep takes its full time. */
    signal(SIGALRM, SIG_IGN);
    struct itimerval it = {{0, 10000}, {0, 10000}};
    setitimer(ITIMER_REAL, &it, NULL);
    struct timespec a, b;
    long long took = 0;
    for (int round = 0; round < 2; round++) { /* the first is for a translator */
        quiet = round == 0;
        clock_gettime(CLOCK_MONOTONIC, &a);
        wait = (struct timespec){0, 100000000};
        show("undisturbed", nanosleep(&wait, NULL));
        clock_gettime(CLOCK_MONOTONIC, &b);
        took = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
    }
    /* A sleep that began anew with each of them would not end; a busy machine takes its time. */
    printf("slept %d\n", took >= 100000000LL && took < 1900000000LL);
    return 0;
}
