// Memory for the API's tests: maps, unmaps, a file's end, and waits for a word to change.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile unsigned cell = 0x11223344;
static unsigned char *code;

int main(void) {
    int fd = open("/tmp/short", O_RDWR | O_CREAT, 0600);
    write(fd, "short", 5);
    volatile unsigned char *file = mmap((void *)0x20000000, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    mmap((void *)0x30000000, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    code = mmap((void *)0x40000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    code[0] = 0xB8, code[1] = 7, code[5] = 0xC3; /* mov eax, 7; ret */
    printf("%p %d %c\n", (void *)&cell, ((int (*)(void))code)(), file[0]);
    fflush(stdout);
    while (cell == 0x11223344) ((int (*)(void))code)();
    return ((int (*)(void))code)() + (cell & 0xF);
}
