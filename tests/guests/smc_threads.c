/* Code that changes while threads run it, moves, has an alias, or is read from a file. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int (*function)(void);

static unsigned char *area;
static volatile int stop;
static volatile long calls, bad;

static void emit(unsigned char *place, int result)
{
    unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, result; ret */
    memcpy(code + 1, &result, 4);
    memcpy(place, code, sizeof code);
}

static int call(void *place) { return ((function)place)(); }

static void *caller(void *unused)
{
    (void)unused;
    while (!stop) {
        int result = call(area);
        if (result != 1 && result != 2)
            bad++;
        calls++;
    }
    return NULL;
}

static void threads(void)
{
    pthread_t runners[2];
    emit(area, 1);
    for (int i = 0; i < 2; i++)
        pthread_create(&runners[i], NULL, caller, NULL);
    for (int i = 0; i < 500; i++) {
        ((volatile unsigned char *)area)[1] = 1 + (i & 1);
        if (i % 16 == 0)
            usleep(100);
    }
    while (!calls) /* on a busy machine nothing of them has run yet */
        usleep(100);
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(runners[i], NULL);
    printf("threads: bad %ld, called %d\n", bad, calls > 0);
}

static void moving(void)
{
    unsigned sum = 0;
    for (int i = 0; i < 60; i++) {
        unsigned char *page = mmap((void *)0x50000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        emit(page, i);
        sum = sum * 7 + call(page);
        munmap(page, 4096);
    }
    printf("moving: %u\n", sum);
    for (int i = 0; i < 60; i++) {
        mprotect(area, 4096, PROT_READ | PROT_WRITE);
        emit(area, i);
        mprotect(area, 4096, PROT_READ | PROT_EXEC);
        sum = sum * 5 + call(area);
    }
    mprotect(area, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    printf("toggled: %u\n", sum);
}

static void aliased(void)
{
    unsigned sum = 0;
    int fd = memfd_create("code", 0), ends[2];
    unsigned char code[6];
    ftruncate(fd, 4096);
    unsigned char *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unsigned char *alias = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    for (int i = 0; i < 50; i++) {
        emit(data, i);
        sum = sum * 3 + call(alias);
    }
    printf("alias: %u\n", sum);
    for (int i = 0; i < 50; i++) {
        emit(code, 5 * i);
        pwrite(fd, code, sizeof code, 0);
        sum = sum * 3 + call(alias);
    }
    printf("pwrite: %u\n", sum);
    pipe(ends);
    for (int i = 0; i < 50; i++) {
        emit(code, 9 * i);
        write(ends[1], code, sizeof code);
        read(ends[0], area + 4096, sizeof code);
        sum = sum * 3 + call(area + 4096);
    }
    printf("read: %u\n", sum);
}

int main(void)
{
    /* call 1f; 1: pop ecx; movb $7, 6(ecx); mov al, 1 (its operand is overwritten); movzx eax, al */
    static const unsigned char itself[] = {
        0xe8, 0, 0, 0, 0, 0x59, 0xc6, 0x41, 0x06, 0x07, 0xb0, 0x01, 0x0f, 0xb6, 0xc0, 0xc3,
    };
    area = mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    threads();
    for (int i = 0; i < 2; i++) {
        memcpy(area + 8192, itself, sizeof itself);
        printf("itself: %d\n", call(area + 8192));
    }
    moving();
    aliased();
    return 0;
}
