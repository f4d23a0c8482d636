/* Frames of synchronous signals: every register and flag shown, changed by the handler, shown again. */
#pragma GCC target("sse2")
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

struct state { unsigned eax, ecx, edx, ebx, esi, edi, ebp, eflags; };
struct state before, after;
unsigned saved_esp;
unsigned char *code;

/* Loads *before*, runs the code, comes back through *leave*, which stores *after*. */
extern char leave[];
__asm__(".text\n.globl run, leave\n"
        "run: pushal; movl %esp,saved_esp; movl before+28,%eax; pushl %eax; movl before,%eax\n"
        "movl before+4,%ecx; movl before+8,%edx; movl before+12,%ebx; movl before+16,%esi\n"
        "movl before+20,%edi; movl before+24,%ebp; popfl; jmp *code\n"
        "leave: movl %eax,after; movl %ecx,after+4; movl %edx,after+8; movl %ebx,after+12\n"
        "movl %esi,after+16; movl %edi,after+20; movl %ebp,after+24; movl saved_esp,%esp\n"
        "pushfl; popl after+28; cld; fninit; popal; ret\n");
void run(void);

static void handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    unsigned address = (unsigned)info->si_addr;
    printf("  signal %d code %d trap %d error %d eip +%d", signo, info->si_code, r[REG_TRAPNO],
           r[REG_TRAPNO] == 14 ? r[REG_ERR] & ~1 : r[REG_ERR], r[REG_EIP] - (unsigned)code);
    if (address - (unsigned)code < 4096)
        printf(" address +%d\n", address - (unsigned)code);
    else
        printf(" address %x\n", address);
    printf("  eax %x ecx %x edx %x ebx %x esi %x edi %x ebp %x esp %d flags %x\n", r[REG_EAX],
           r[REG_ECX], r[REG_EDX], r[REG_EBX], r[REG_ESI], r[REG_EDI], r[REG_EBP],
           (unsigned)r[REG_ESP] < 0x10000 ? r[REG_ESP] : r[REG_ESP] - saved_esp, r[REG_EFL] & 0xedd5);
    if (r[REG_UESP] != r[REG_ESP])
        printf("  the stack pointers differ\n");
    r[REG_EAX] ^= 0x11111111;
    r[REG_ECX] += 0x01010101;
    r[REG_EDX] = ~r[REG_EDX];
    r[REG_EBX] ^= 0x80000001;
    r[REG_ESI]++;
    r[REG_EDI]--;
    r[REG_EBP] ^= 0xff;
    r[REG_EFL] ^= 0x8d5;
    r[REG_EIP] = (greg_t)leave;
    uc->uc_mcontext.fpregs->sw &= ~0x80ff;
    *(unsigned short *)((char *)uc->uc_mcontext.fpregs + 112 + 2) &= ~0x80ff;
}

static void try(const char *name, const char *bytes, int size)
{
    static const unsigned flags[] = {0x202, 0x246, 0xad7, 0x693};
    for (unsigned i = 0; i < 4; i++) {
        before = (struct state){0x01234567 * (i + 1), 0, 0xffffffff, 0x33333333 + i, 0x1000, 0x2000, 0x55aa55aa, flags[i]};
        memset(code, 0x90, 4096);
        memcpy(code + 7, bytes, size);
        memcpy(code + 7 + size, "\xf4", 1);
        printf("%s %x\n", name, flags[i]);
        run();
        printf("  after eax %x ecx %x edx %x ebx %x esi %x edi %x ebp %x flags %x\n", after.eax,
               after.ecx, after.edx, after.ebx, after.esi, after.edi, after.ebp, after.eflags & 0xcd5);
    }
}
#define TRY(name, bytes) try(name, bytes, sizeof bytes - 1)

static char room[65536];
int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (int i = 0; i < 5; i++)
        sigaction(signals[i], &action, NULL);
    stack_t stack = {.ss_sp = room, .ss_size = sizeof room};
    sigaltstack(&stack, NULL);
    code = mmap((void *)0x20000000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    TRY("div by zero", "\xf7\xf1");
    TRY("div overflow", "\xf7\xf3");
    TRY("idiv byte", "\x41\xf6\xf9");
    TRY("aam 0", "\xd4\x00");
    TRY("ud2", "\x01\xd8\x0f\x0b");
    TRY("ud1", "\x0f\xb9\xc0");
    TRY("bad lock", "\xf0\x01\xc8");
    TRY("int3", "\x29\xd8\xcc");
    TRY("int 3", "\xcd\x03");
    TRY("int1", "\xf1");
    TRY("into", "\xce");
    TRY("int 4", "\xcd\x04");
    TRY("int 5", "\xcd\x05");
    TRY("int 0x20", "\xcd\x20");
    TRY("bound", "\x62\x05\x00\x00\x00\x20");
    TRY("hlt", "\x11\xd8\xf4");
    TRY("in", "\xe4\x10");
    TRY("cli", "\xfa");
    TRY("mov cr0", "\x0f\x20\xc0");
    TRY("load unmapped", "\x8b\x06");
    TRY("store unmapped", "\x01\x07");
    TRY("store kernel", "\xc7\x05\xf0\xff\xff\xff\x01\x00\x00\x00");
    TRY("push unmapped", "\x89\xf4\x50");
    TRY("call unmapped stack", "\x89\xfc\xe8\x00\x00\x00\x00");
    TRY("xchg unmapped", "\x87\x06");
    TRY("lock add unmapped", "\xf0\x01\x07");
    TRY("rep movsb", "\xb9\x05\x00\x00\x00\xf3\xa4");
    TRY("rep stosd", "\xb9\x05\x00\x00\x00\xf3\xab");
    TRY("jump unmapped", "\xff\xe6");
    TRY("ret to nowhere", "\x56\xc3");
    TRY("load null segment", "\x31\xc0\x8e\xd0");
    TRY("load bad segment", "\x66\xb8\x58\x00\x8e\xd8");
    TRY("movaps misaligned", "\x0f\x28\x05\x01\x00\x00\x20");
    TRY("x87 zero divide", "\x6a\x00\x81\x0c\x24\x7b\x03\x00\x00\xd9\x2c\x24\x58\xd9\xe8\xd9\xee\xde\xf9\x9b");
    TRY("x87 stack underflow", "\x68\x7e\x03\x00\x00\xd9\x2c\x24\x58\xd9\xe0\x9b");
    TRY("x87 inexact", "\x68\x5f\x03\x00\x00\xd9\x2c\x24\x58\xd9\xeb\xd9\xe8\xde\xf9\x01\xd8\xd9\xee");
    TRY("SSE zero divide", "\x68\x80\x1d\x00\x00\x0f\xae\x14\x24\x58\x0f\x57\xc0\x0f\x28\xc8\x0f\xc2\xc9\x00\x0f\x28\xd1\x66\x0f\x72\xd2\x19\x66\x0f\x72\xf2\x17\x0f\x5e\xd0");
    return 0;
}
