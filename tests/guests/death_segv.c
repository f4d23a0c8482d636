/* Ends by a stack overflow: SIGSEGV, with no handler. */
#include <stdio.h>

static int deeper(volatile char *above)
{
    volatile char space[4096];
    space[0] = above[0] + 1;
    return deeper(space) + space[0];
}

int main(void)
{
    char start[1] = {0};
    puts("before");
    fflush(stdout);
    return deeper(start);
}
