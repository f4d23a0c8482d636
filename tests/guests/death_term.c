/* Ends by a signal of its own that has no handler, from a handler of another one. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void handler(int signo)
{
    (void)signo;
    kill(getpid(), SIGTERM);
}

int main(void)
{
    puts("before");
    fflush(stdout);
    signal(SIGALRM, handler);
    ualarm(1000, 0);
    for (;;)
        pause();
}
