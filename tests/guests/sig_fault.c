/* Faults of every kind: signal, code, address, trap number, error code; and the way out of them. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static char *base;
static int skip;

static void on_fault(int signo, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    unsigned addr = (unsigned)si->si_addr;
    const char *where = "other";
    unsigned shown = 0;
    unsigned flags;
    __asm__("pushfl; popl %0" : "=r"(flags));
    if (si->si_code <= 0)
        where = "none";
    else if (addr == (unsigned)r[REG_EIP] && signo != SIGTRAP)
        where = "eip";
    else if (base && addr - (unsigned)base < 0x4000)
        where = "base", shown = addr - (unsigned)base;
    else if (addr < 0x10000 || addr >= 0xffff0000)
        where = "abs", shown = addr;
    printf("signal %d code %d addr %s %#x trap %d err %d df %d cs %x ds %x es %x ss %x\n", signo,
           si->si_code, where, shown, r[REG_TRAPNO],
           r[REG_TRAPNO] == 14 ? r[REG_ERR] & ~1 : r[REG_ERR], /* "present" depends on the host's page table */
           !!(flags & 0x400),
           r[REG_CS] & 0xffff, r[REG_DS], r[REG_ES], r[REG_SS]);
    if (signo == SIGSEGV && r[REG_TRAPNO] == 14)
        printf("  cr2 is the address: %d\n", uc->uc_mcontext.cr2 == addr);
    if (skip) {
        r[REG_EIP] += skip;
        r[REG_EAX] = 0x12345678;
        r[REG_EDX] = 0x9abcdef0;
        return;
    }
    siglongjmp(back, 1);
}

#define TRY(title, ...) \
    do { \
        printf("%s: ", title); \
        if (!sigsetjmp(back, 1)) { \
            __VA_ARGS__; \
            puts("no fault"); \
        } \
    } while (0)

int main(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction sa;
    volatile int zero = 0, sink;
    int eax = 0, edx = 0;

    setvbuf(stdout, NULL, _IONBF, 0);
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = on_fault;
    sa.sa_flags = SA_SIGINFO;
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &sa, NULL);

    TRY("read null", sink = *(volatile char *)zero);
    TRY("write null", *(volatile char *)16 = 1);
    TRY("jump null", ((void (*)(void))zero)());
    base = mmap(NULL, 0x4000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY("write read-only", base[0x123] = 1);
    TRY("read read-only", sink = base[0x123]; (void)sink);
    mprotect(base + 0x1000, 0x1000, PROT_NONE);
    TRY("read none", sink = base[0x1fff]);
    TRY("across", sink = *(volatile int *)(base + 0xffe));
    TRY("execute data", ((void (*)(void))(base + 0x2000))());
    munmap(base + 0x3000, 0x1000);
    TRY("unmapped", sink = base[0x3000]);

    TRY("divide by zero", __asm__ volatile("xorl %%ecx,%%ecx; cltd; idivl %%ecx" ::: "eax", "ecx", "edx"));
    TRY("divide overflow", __asm__ volatile("movl $0x80000000,%%eax; movl $-1,%%ecx; cltd; idivl %%ecx"
                                            ::: "eax", "ecx", "edx"));
    TRY("ud2", __asm__ volatile("ud2"));
    TRY("int3", __asm__ volatile("int3"));
    TRY("into", __asm__ volatile("movb $0x7f,%%al; addb $1,%%al; into" ::: "eax"));
    TRY("bound", { int limits[2] = {0, 3}; __asm__ volatile("bound %0,%1" :: "r"(9), "m"(limits)); });
    TRY("hlt", __asm__ volatile("hlt"));
    TRY("cli", __asm__ volatile("cli"));
    TRY("in", __asm__ volatile("inb $0x80,%%al" ::: "eax"));
    TRY("int 0x21", __asm__ volatile("int $0x21"));
    TRY("bad selector", __asm__ volatile("movw %0,%%fs" :: "r"((short)0x1234)));
    TRY("lgdt", __asm__ volatile("lgdt %0" :: "m"(back)));
    TRY("direction flag", __asm__ volatile("std; ud2"));
    __asm__ volatile("cld");

    TRY("x87 division", __asm__ volatile("fninit; pushl $0x37b; fldcw (%%esp); addl $4,%%esp;"
                                         "fld1; fldz; fdivrp; fwait" ::: "st"));
    __asm__ volatile("fninit");
    TRY("x87 invalid", __asm__ volatile("fninit; pushl $0x37e; fldcw (%%esp); addl $4,%%esp;"
                                        "fldz; fldz; fdivrp; fwait" ::: "memory"));
    __asm__ volatile("fninit");
    TRY("sse division", {
        unsigned csr = 0x1f80 & ~0x200;
        float one = 1, nil = 0;
        __asm__ volatile("ldmxcsr %0; movss %1,%%xmm0; divss %2,%%xmm0" :: "m"(csr), "m"(one), "m"(nil) : "xmm0");
    });

    FILE *file = tmpfile();
    ftruncate(fileno(file), 100);
    base = mmap(NULL, 0x2000, PROT_READ, MAP_SHARED, fileno(file), 0);
    TRY("in the file's page", sink = base[200]);
    TRY("beyond the file", sink = base[0x1000]);

    /* The handler changes registers and goes on behind the insn. */
    skip = 2;
    __asm__ volatile("ud2" : "=a"(eax), "=d"(edx));
    printf("changed: %x %x\n", eax, edx);
    skip = 0;

    /* In a handler's frame FLAGS are those of the fault. */
    TRY("end", raise(SIGFPE));
    return 0;
}
