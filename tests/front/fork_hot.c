/* A loop that becomes hot in a child, in the parent while the child lives, and again afterwards. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned spin(unsigned seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        seed = seed * 1664525 + 1013904223;
    return seed;
}

static unsigned other(unsigned seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        seed = (seed ^ i) * 69069 + 1;
    return seed;
}

static unsigned third(unsigned seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        seed = (seed << 3 ^ seed >> 5) + i;
    return seed;
}

int main(int argc, char **argv)
{
    printf("%u\n", spin(argc, 20000000));
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        printf("%u\n", other(argc, 60000000));
        return 0;
    }
    waitpid(child, 0, 0);
    printf("%u\n", third(argc, 60000000));
    return 0;
}
