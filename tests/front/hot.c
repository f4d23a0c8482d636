// Two loops whose time is known by name: argv[1] rounds of the first, an eighth of the second; with a
// third argument a forked child runs the second as well.
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned sink;

__attribute__((noinline, noclone)) unsigned hot_loop(unsigned rounds)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < rounds; i++) sum = sum * 31 + (i ^ sum >> 3);
    return sum;
}

__attribute__((noinline, noclone)) unsigned warm_loop(unsigned rounds)
{
    unsigned sum = 12345;
    for (unsigned i = 0; i < rounds; i++) sum = (sum ^ i) + 0x10000000 / ((sum & 7) + 3);
    return sum;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? atoi(argv[1]) : 1000000;
    if (argc > 2) {
        pid_t child = fork();
        if (child == 0) {
            sink = warm_loop(rounds / 4);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    sink = hot_loop(rounds);
    sink += warm_loop(rounds / 8);
    printf("%u\n", sink);
    return 0;
}
