// Virtual-8086 mode by vm86 and vm86old: what each case returns, and its registers.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct regs {
    unsigned ebx, ecx, edx, esi, edi, ebp, eax, ds0, es0, fs0, gs0, orig_eax, eip, cs, eflags, esp;
    unsigned ss, es, ds, fs, gs;
};
struct vm {
    struct regs regs;
    unsigned flags, screen, cpu;
    unsigned char seen[32], dos[32];
    unsigned plus;
    unsigned char debugged[32];
};
static struct vm vm;
static unsigned char stack[65536];

static int signals;

static void handler(int signal, siginfo_t *info, void *context) {
    printf("  signal %d\n", signal);
    fflush(stdout);
    if (++signals > 8)
        _exit(3);
}

static void show(const char *name, int result) {
    struct regs *r = &vm.regs;
    printf("%s: %x\n", name, result);
    printf("  eax=%x ebx=%x ecx=%x edx=%x esi=%x edi=%x ebp=%x\n", r->eax, r->ebx, r->ecx, r->edx,
           r->esi, r->edi, r->ebp);
    printf("  cs:ip=%x:%x ss:sp=%x:%x ds=%x es=%x fs=%x gs=%x flags=%x\n", r->cs & 0xffff, r->eip,
           r->ss & 0xffff, r->esp, r->ds & 0xffff, r->es & 0xffff, r->fs & 0xffff, r->gs & 0xffff,
           r->eflags & ~0x8d5);
    fflush(stdout);
}

static void start(const char *code, int size, unsigned flags) {
    memset(&vm, 0, sizeof vm);
    memcpy((void *)0x20000, code, size);
    vm.cpu = 5;
    vm.seen[0x20 >> 3] |= 1 << (0x20 & 7);
    vm.regs.eax = 0xAAAA1111, vm.regs.ebx = 0xBBBB2222, vm.regs.ecx = 5, vm.regs.edx = 0xDDDD3333;
    vm.regs.esi = 0x100, vm.regs.edi = 0x200, vm.regs.ebp = 0x300;
    vm.regs.cs = 0x2000, vm.regs.ss = 0x3000, vm.regs.esp = 0x1000;
    vm.regs.ds = 0x4000, vm.regs.es = 0x4800, vm.regs.fs = 0x5000, vm.regs.gs = 0x5001;
    vm.regs.eflags = flags;
}

static void go(const char *name, const char *code, int size, unsigned flags, int plus) {
    start(code, size, flags);
    int result = plus ? syscall(166, 1, &vm) : syscall(113, &vm);
    show(name, result);
}
#define RUN(name, code, flags, plus) go(name, code, sizeof(code) - 1, flags, plus)

static void vector(int number, unsigned segment, unsigned offset) {
    static char *volatile base;
    *(volatile unsigned *)(4 * number + base) = segment << 16 | offset;
}

int main(void) {
    int prot = PROT_READ | PROT_WRITE | PROT_EXEC, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    if (mmap((void *)0x10000, 0x90000, prot, flags, -1, 0) != (void *)0x10000)
        return 1;
    int has_vectors = mmap((void *)0, 0x1000, prot, flags, -1, 0) == (void *)0;
    for (int number = 1; number < 32; number++)
        sigaction(number, &action, 0);
    printf("installed: %d\n", (int)syscall(166, 0, 0));
    RUN("int seen", "\xcd\x20", 0x202, 0);
    RUN("int seen, vm86plus", "\xcd\x20", 0x202, 1);
    RUN("flags", "\xfa\x9c\x58\xfb\x9c\x5a\xcd\x20", 0x202, 0);
    RUN("pushfd", "\xfa\x66\x9c\x66\x58\xfb\x66\x9c\x66\x5a\xcd\x20", 0x202, 0);
    RUN("popf", "\x68\x02\x70\x9d\x9c\x58\x68\x03\x02\x9d\x9c\x5a\xcd\x20", 2, 0);
    RUN("popfd", "\x66\x68\x02\x70\x24\x00\x66\x9d\x66\x9c\x66\x58\xcd\x20", 2, 0);
    RUN("iret", "\x68\x02\x02\x68\xff\x1f\x68\x1a\x00\xcf\x90\xcd\x20", 2, 0);
    RUN("hlt", "\xf4", 2, 0);
    RUN("in", "\xec", 2, 0);
    RUN("sti with VIP", "\xfb\x90\xcd\x20", 0x100002, 0);
    RUN("int3, vm86plus", "\x90\xcc", 2, 1);
    RUN("step, vm86plus", "\x90\x90\xcd\x20", 0x102, 1);
    RUN("segments",
        "\xb8\x00\x60\x8e\xd8\x8c\xdb\xc7\x06\x00\x00\x34\x12\xb8\x00\x70\x8e\xc0\x33\xf6\x33\xff"
        "\xb9\x00\x10\xf3\xa5\x26\xa1\x00\x00\xcd\x20", 2, 0);
    RUN("loop", "\x31\xc0\xb9\xe8\x03\x40\x9a\x20\x00\x00\x20\xe2\xf8\xcd\x20\x90"
        "\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x01\xc8\xcb", 2, 0);
    if (has_vectors) {
        vector(0x30, 0x2100, 0x10);
        vector(0, 0x2100, 0x20);
        memcpy((void *)0x21010, "\xbb\x34\x12\x9c\x59\xcf", 6);
        memcpy((void *)0x21020, "\xbd\x77\x00\xcd\x20", 5);
        RUN("int through the vector", "\xfb\xcd\x30\x9c\x5a\xcd\x20", 2, 0);
        RUN("division, vm86plus", "\x31\xc9\xf7\xf1", 2, 1);
    }
    RUN("ud2", "\x0f\x0b", 2, 0);
    RUN("beyond a segment", "\x31\xf6\x4e\x8b\x04\xcd\x20", 2, 0);
    puts("done");
    return 0;
}
