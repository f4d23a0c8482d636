/* How JITs treat pages: RW <-> RX, two views, code moved by mremap, dropped, replaced, after fork. */
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };
typedef unsigned (*function)(void);
static sigjmp_buf back;

static void handler(int signo, siginfo_t *info, void *context)
{
    (void)context;
    siglongjmp(back, signo << 8 | info->si_code);
}

static uint8_t *map(size_t size, int prot) { return mmap(0, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }

static void emit(uint8_t *at, unsigned value)
{
    at[0] = 0xb8;
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
}

static void call(const char *name, const void *at)
{
    int fault = sigsetjmp(back, 1);
    if (fault)
        printf("%s: signal %d code %d\n", name, fault >> 8, fault & 255);
    else
        printf("%s: %u\n", name, ((function)at)());
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    uint8_t *code = map(4 * PAGE, PROT_READ | PROT_WRITE), *other;
    unsigned sum = 0;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    setbuf(stdout, NULL);

    emit(code, 1);
    call("not executable", code);
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    call("executable", code);
    mprotect(code, PAGE, PROT_EXEC);
    call("execute only", code);
    mprotect(code, PAGE, PROT_NONE);
    call("nothing", code);
    mprotect(code, PAGE, PROT_READ | PROT_EXEC);
    call("again", code);
    if (!sigsetjmp(back, 1)) {
        emit(code, 2);
        puts("written");
    } else
        puts("not writable");
    for (unsigned i = 0; i < 400; i++) {
        mprotect(code, PAGE, PROT_READ | PROT_WRITE);
        emit(code + i % 64 * 6, i);
        mprotect(code, PAGE, PROT_READ | PROT_EXEC);
        sum = sum * 31 + ((function)(code + i % 64 * 6))();
    }
    printf("alternating %x\n", sum);
    mprotect(code, PAGE, PROT_READ | PROT_WRITE);
    call("writable only", code);
    mprotect(code, PAGE, PROT_NONE);
    call("closed", code);

    mprotect(code, 4 * PAGE, 7);
    emit(code, 10);
    emit(code + PAGE, 11);
    call("before", code);
    call("before", code + PAGE);
    other = mremap(code, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, code + 3 * PAGE);
    call("moved here", other);
    call("moved away", code);
    call("beside", code + PAGE);
    other = mremap(code + PAGE, PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    call("grown", other);
    call("old place", code + PAGE);
    emit(other + 10 * PAGE, 12);
    call("new part", other + 10 * PAGE);
    mremap(other, 64 * PAGE, PAGE, 0);
    call("cut off", other + 10 * PAGE);
    for (unsigned i = 0; i < 60; i++) {
        uint8_t *a = map(PAGE, 7), *b = map(PAGE, 7);
        emit(a, i), emit(b, ~i);
        sum = sum * 31 + ((function)a)() - ((function)b)();
        mremap(a, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b);
        sum = sum * 31 + ((function)b)();
        munmap(b, PAGE);
    }
    printf("moving %x\n", sum);

    code = map(2 * PAGE, 7);
    emit(code, 20);
    call("mapped", code);
    madvise(code, PAGE, MADV_DONTNEED);
    memset(code, 0xf4, 16);
    call("dropped: hlt", code);
    emit(code, 21);
    call("written", code);
    mmap(code, PAGE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    emit(code + 1, 22);
    call("replaced", code + 1);
    munmap(code, PAGE);
    call("unmapped", code + 1);
    emit(code + PAGE, 23);
    memcpy(code + 2 * PAGE - 3, "\xb8\x01\x02", 3);
    call("runs out of the page", code + 2 * PAGE - 3);
    memcpy(code + 2 * PAGE - 1, "\x0f", 1);
    call("one byte", code + 2 * PAGE - 1);

    int fd = memfd_create("code", 0);
    if (ftruncate(fd, 2 * PAGE))
        return 1;
    uint8_t *writing = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *running = mmap(0, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    uint8_t *own = mmap(0, 2 * PAGE, 7, MAP_PRIVATE, fd, 0);
    for (unsigned i = 0; i < 300; i++) {
        uint8_t *at = writing + (i * 6) % (PAGE + 100);
        emit(at, i * 3);
        sum = sum * 31 + ((function)(running + (at - writing)))();
    }
    printf("two views %x\n", sum);
    emit(writing, 30);
    call("shared", running);
    call("private, not yet its own", own);
    emit(own, 31);
    call("private", own);
    emit(writing, 32);
    call("shared", running);
    call("private", own);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        emit(writing + 200, 40);
        emit(own, 41);
        call("child private", own);
        call("child shared", running + 200);
        _exit(7);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
    call("parent private", own);
    call("parent shared", running + 200);
    if (ftruncate(fd, 0))
        return 1;
    call("file cut", running + PAGE);
    munmap(running, 2 * PAGE);
    call("gone", running);
    /* Executable stack and heap written by string insns while a function next to it runs. */
    uint8_t *buffer = map(PAGE, 7);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t image[8];
        emit(image, i * 7);
        memmove(buffer + i, image, 6);
        sum = sum * 31 + ((function)(buffer + i))();
    }
    printf("creeping %x\n", sum);
    return 0;
}
