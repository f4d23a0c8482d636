// Handles SIGINT three times, then lets it be.
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile int caught;
static void handler(int signo) { caught++; }

int main(void) {
    struct sigaction action = {.sa_handler = handler};
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigprocmask(SIG_BLOCK, &block, &old);
    sigaction(SIGINT, &action, 0);
    write(1, "ready\n", 6);
    for (int seen = 0; seen < 3; seen++) {
        while (caught == seen) sigsuspend(&old);
        write(1, "caught\n", 7);
    }
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, 0);
    write(1, "ready\n", 6);
    for (;;) pause();
}
