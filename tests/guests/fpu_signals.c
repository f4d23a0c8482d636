/* x87 loops of several threads that signals interrupt all the time; the handler uses x87 and MMX
 * itself. Sums in double and long double must not notice. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

enum { STEPS = 1000000, THREADS = 3 };
static volatile int hits;
static volatile double sink;

static double root(double x)
{
    __asm__("fsqrt" : "+t"(x));
    return x;
}

static long double rootl(long double x)
{
    __asm__("fsqrt" : "+t"(x));
    return x;
}

static void on_alarm(int sig)
{
    double x = ++hits;
    __asm__ volatile("fninit; fldpi; fldl %0; fmulp; fstpl %0" : "+m"(x));
    __asm__ volatile("movd %%eax, %%mm0; emms" : : : "memory");
    sink = x + root(x);
}

static double work(int seed)
{
    double z = seed, sum = 0;
    for (int i = 0; i < STEPS; i++) {
        z = z * 0.999 + 1.0 / (i + 1);
        if (z > 2)
            z -= 1.5;
        sum += root(z * z + i);
    }
    return sum;
}

static long double workl(int seed)
{
    static long double table[16];
    long double z = seed, sum = 0;
    for (int i = 0; i < STEPS; i++) {
        table[i & 15] = z = z * 0.999L + 1.0L / (i + 1);
        if (z > 2)
            z -= 1.5L;
        sum += rootl(z * z + table[i + 1 & 15]);
    }
    return sum;
}

static void *start(void *at)
{
    double *values = at;
    values[1] = work((int)values[0]);
    return 0;
}

int main(void)
{
    signal(SIGALRM, on_alarm);
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0}};
    setitimer(ITIMER_REAL, &often, 0);
    pthread_t threads[THREADS];
    double values[THREADS][2];
    for (int i = 0; i < THREADS; i++) {
        values[i][0] = i + 1;
        pthread_create(threads + i, 0, start, values[i]);
    }
    double sum = work(9);
    long double suml = workl(7);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
    setitimer(ITIMER_REAL, &never, 0);
    printf("%.17g %.21Lg\n", sum, suml);
    for (int i = 0; i < THREADS; i++)
        printf("%.17g\n", values[i][1]);
    puts(hits ? "signals" : "no signals");
    return 0;
}
