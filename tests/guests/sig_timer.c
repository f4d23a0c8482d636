/* Timers: setitimer, alarm, timer_create with value, timerfd, interval counting. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks, value, code;

static void tick(int signo, siginfo_t *si, void *context)
{
    (void)signo;
    (void)context;
    ticks++;
    code = si->si_code;
    if (si->si_code == SI_TIMER)
        value = si->si_value.sival_int;
}

int main(void)
{
    struct sigaction sa;
    struct itimerval it = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, old;
    volatile unsigned spin = 0;

    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = tick;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGVTALRM, &sa, NULL);
    sigaction(SIGPROF, &sa, NULL);
    sigaction(SIGRTMIN + 2, &sa, NULL);

    setitimer(ITIMER_REAL, &it, NULL);
    while (ticks < 4) /* interrupted while it computes */
        spin++;
    setitimer(ITIMER_REAL, &off, &old);
    printf("real %d code %d interval %ld\n", ticks >= 4, code == SI_KERNEL, (long)old.it_interval.tv_usec);

    ticks = 0;
    setitimer(ITIMER_VIRTUAL, &it, NULL);
    while (ticks < 2)
        spin++;
    setitimer(ITIMER_VIRTUAL, &off, NULL);
    printf("virtual %d\n", ticks >= 2);
    ticks = 0;
    setitimer(ITIMER_PROF, &it, NULL);
    while (ticks < 2)
        spin++;
    setitimer(ITIMER_PROF, &off, NULL);
    printf("prof %d\n", ticks >= 2);

    printf("alarm %u", alarm(100));
    printf(" %d", alarm(0) >= 99);
    printf(" %u\n", alarm(0));
    printf("bad itimer %d %d\n", setitimer(7, &it, NULL), errno == EINVAL);

    timer_t id;
    struct sigevent ev;
    struct itimerspec ts = {{0, 3000000}, {0, 3000000}}, now;
    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_SIGNAL;
    ev.sigev_signo = SIGRTMIN + 2;
    ev.sigev_value.sival_int = 1234;
    printf("create %d", timer_create(CLOCK_MONOTONIC, &ev, &id));
    ticks = 0;
    timer_settime(id, 0, &ts, NULL);
    while (ticks < 3)
        pause();
    timer_gettime(id, &now);
    printf(" value %d code %d interval %ld\n", value, code == SI_TIMER, now.it_interval.tv_nsec);
    printf("overrun %d delete %d again %d\n", timer_getoverrun(id) >= 0, timer_delete(id), timer_delete(id));

    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint64_t n = 0;
    ts = (struct itimerspec){{0, 0}, {0, 10000000}};
    timerfd_settime(fd, 0, &ts, NULL);
    printf("timerfd %zd", read(fd, &n, sizeof n));
    printf(" %llu\n", (unsigned long long)n);

    struct timespec res, t1, t2;
    clock_getres(CLOCK_MONOTONIC, &res);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    clock_gettime(CLOCK_MONOTONIC, &t2);
    printf("clock %ld %d\n", res.tv_nsec,
           t2.tv_sec > t1.tv_sec || (t2.tv_sec == t1.tv_sec && t2.tv_nsec >= t1.tv_nsec));
    printf("bad clock %d %d\n", clock_gettime(77, &t1), errno == EINVAL);
    struct timeval tv;
    gettimeofday(&tv, NULL);
    time_t seconds = time(NULL);
    printf("time %d\n", seconds - tv.tv_sec <= 1 && seconds > 1600000000);
    return 0;
}
