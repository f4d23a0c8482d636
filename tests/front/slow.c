// What makes a translator slow, one thing at a time, in a function of that name: argv[1] names it,
// argv[2] says how often.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALONE __attribute__((noinline, noclone))

static volatile unsigned sink;

// An insn that no host code is made for.
ALONE void rare(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned leaf = 0, other = 0;
        __asm__ volatile("cpuid" : "+a"(leaf), "+c"(other) : : "ebx", "edx");
        sink += leaf > 0;
    }
}

ALONE void calls(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned result = SYS_getppid;
        __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
        sink += result != 0;
    }
}

// Code that is written anew before each call: movl $i, %eax; ret. What is called is on another page.
ALONE void written(unsigned count)
{
    unsigned char *page = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < count; i++) {
        page[0] = 0xb8, page[5] = 0xc3;
        memcpy(page + 1, &i, 4);
        sink += ((unsigned (*)(void))page)();
    }
}

// A hot loop beside data that is written now and then.
ALONE void dropped(unsigned count)
{
    static const unsigned char loop[] = "\x31\xc0\x05\x07\x00\x00\x00\x49\x75\xf8\xc3";
    unsigned char *page = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, loop, sizeof loop);
    for (unsigned i = 0; i < 300; i++) {
        unsigned result, left = count;
        page[2048] = i;
        __asm__ volatile("call *%2" : "=&a"(result), "+c"(left) : "r"(page) : "memory", "cc");
        sink += result;
    }
}

// A loop beside data that it writes in every round: inc dword ptr [edx]; dec ecx; jnz; ret.
ALONE void beside(unsigned count)
{
    static const unsigned char loop[] = "\xff\x02\x49\x75\xfb\xc3";
    unsigned char *page = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, loop, sizeof loop);
    __asm__ volatile("call *%2" : "+c"(count) : "d"(page + 2048), "r"(page) : "memory", "cc");
    sink += *(unsigned *)(page + 2048);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? atoi(argv[2]) : 1;
    if (!strcmp(argv[1], "rare")) rare(count);
    if (!strcmp(argv[1], "calls")) calls(count);
    if (!strcmp(argv[1], "written")) written(count);
    if (!strcmp(argv[1], "dropped")) dropped(count);
    if (!strcmp(argv[1], "beside")) beside(count);
    printf("%u\n", sink);
    return 3;
}
