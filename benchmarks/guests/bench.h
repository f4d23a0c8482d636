/* The frame of a kernel. argv[1] scales its work in thousandths (1000: about a second natively).
 *
 * A kernel defines STEPS and `run`, which is called twice, each time for half of the steps. The
 * frame prints the processor time that the second call took on this thread: by then the peer has
 * translated everything, so it is the steady state. The kernel's result goes to stdout. With an
 * argv[2] it says when that second half begins, for somebody who has a clock outside. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void setup(void);
static void run(unsigned steps);
static void result(void);

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint32_t seed = 1;

static inline uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

int main(int argc, char **argv)
{
    uint64_t thousandths = argc > 1 ? strtoul(argv[1], 0, 10) : 1000;
    unsigned half = STEPS * thousandths / 2000 + 1;
    void (*volatile kernel)(unsigned) = run; /* neither inlined nor specialised */
    setup();
    kernel(half);
    if (argc > 2)
        fputs("half\n", stderr);
    uint64_t start = nanoseconds();
    kernel(half);
    fprintf(stderr, "steady_ns %llu\n", (unsigned long long)(nanoseconds() - start));
    result();
    return 0;
}
