/* Signals at random moments in the C library: what it formats, sorts, allocates and buffers is right. */
// build: -lm
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned ticks;

static void tick(int signo)
{
    (void)signo;
    ticks++;
}

static uint32_t mix(uint32_t sum, const void *data, size_t size)
{
    for (const uint8_t *p = data; size--; p++)
        sum = (sum ^ *p) * 16777619;
    return sum;
}

static int below(const void *a, const void *b) { return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b; }

static uint32_t format(int i)
{
    char text[300];
    int n = snprintf(text, sizeof text, "%d %5u %-8x|%08lo %s %c %lld %.3f %e %g %a %p %%", i, i * 3u, i * 77, (long)i * 5,
                     strerror(i % 40), 'a' + i % 26, (long long)i * i * i, i / 7.0, i * 1e10, i / 3.0, i / 16.0, (void *)(uintptr_t)(i + 1));
    return mix(n, text, n);
}

static uint32_t parse(int i)
{
    char text[100], *end;
    sprintf(text, "%d.%03de%d 0x%x %d", i, i % 1000, i % 30, i * 31, -i);
    double d = strtod(text, &end);
    unsigned long x = strtoul(end, &end, 0);
    long y = strtol(end, &end, 10);
    int a, b;
    sscanf(text, "%d.%d", &a, &b);
    uint32_t sum = mix(x ^ y ^ a * 7 ^ b, &d, sizeof d);
    return mix(sum, end, strlen(end) + 1);
}

static uint32_t sort(int i)
{
    int numbers[200];
    for (int k = 0; k < 200; k++)
        numbers[k] = (k + i) * 2654435761u >> 7;
    qsort(numbers, 200, sizeof *numbers, below);
    return mix(0, numbers, sizeof numbers);
}

static uint32_t allocate(int i)
{
    char *kept[40];
    uint32_t sum = 0;
    for (int k = 0; k < 40; k++) {
        kept[k] = malloc(1 + (i * 37 + k * 101) % 3000);
        *kept[k] = k;
        if (k % 3 == 2)
            kept[k - 1] = realloc(kept[k - 1], 5000);
    }
    for (int k = 0; k < 40; k++) {
        sum = sum * 31 + *kept[k];
        free(kept[k]);
    }
    return sum;
}

static uint32_t text(int i)
{
    char a[400], b[400];
    memset(a, 'a' + i % 20, 300 + i % 90);
    a[300 + i % 90] = 0;
    strcpy(b, a);
    strcat(b + 7, "tail");
    uint32_t sum = strlen(b) + (strstr(b, "tail") - b) * 1000 + (strchr(b, 't') ? 5 : 3) + memcmp(a, b, 250) + strcmp(a, b) * 3;
    for (char *word = strtok(b, "ai"); word; word = strtok(NULL, "ai"))
        sum = mix(sum, word, strlen(word));
    memmove(a + 5, a, 300);
    return mix(sum, a, 300);
}

static uint32_t numbers(int i)
{
    double x = sin(i) + cos(i * .5) * exp(-i / 100.0) + log(i + 1) + pow(1.01, i) + fmod(i, 7) + floor(i / 3.0);
    long long y = 0x123456789abcdefLL / (i + 1) % 1000003 + (long long)x;
    return mix((uint32_t)y, &x, sizeof x);
}

static uint32_t buffer(int i)
{
    char *data;
    size_t size;
    FILE *file = open_memstream(&data, &size);
    for (int k = 0; k < 30; k++) {
        fprintf(file, "line %d: %d\n", k, i);
        fputs("words ", file);
        putc('0' + k % 10, file);
    }
    fclose(file);
    uint32_t sum = mix(size, data, size);
    free(data);
    return sum;
}

static uint32_t (*const works[])(int) = {format, parse, sort, allocate, text, numbers, buffer};
static const char *const names[] = {"format", "parse", "sort", "allocate", "text", "numbers", "buffer"};
enum { WORKS = 7, ITEMS = 60 };

int main(void)
{
    static uint32_t want[WORKS][ITEMS];
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, 700}, {0, 700}};
    time_t until;
    unsigned wrong[WORKS] = {0}, rounds = 0;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < WORKS; i++) {
        for (int k = 0; k < ITEMS; k++)
            want[i][k] = works[i](k * 13 + 1);
        printf("%s %x\n", names[i], mix(0, want[i], sizeof want[i]));
    }
    setitimer(ITIMER_REAL, &timer, NULL);
    until = time(NULL) + 6;
    while (ticks < 400 && time(NULL) < until) {
        int k = rounds++ % ITEMS;
        for (int i = 0; i < WORKS; i++)
            wrong[i] += works[i](k * 13 + 1) != want[i][k];
    }
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < WORKS; i++)
        printf("%s: %u wrong\n", names[i], wrong[i]);
    printf("interrupted %d\n", ticks > 20);
    return 0;
}
