/* Alignment checks: CR0.AM is set under Linux, so that a program that sets EFLAGS.AC gets SIGBUS
   for data that are not aligned (SDM vol. 3, 6.15, vector 17).  Each row: what happens at 16
   offsets, two in a page without access, two in one that cannot be written; a letter is #AC and
   says at which byte of the snippet. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SNIPPETS \
    X(load8, "movb (%esi), %al") \
    X(load16, "movw (%esi), %ax") \
    X(load32, "movl (%esi), %eax") \
    X(store16, "movw %ax, (%edi)") \
    X(store32, "movl %eax, (%edi)") \
    X(add_mem, "addl %eax, (%edi)") \
    X(lock_add, "lock addl %eax, (%edi)") \
    X(xchg, "xchgl %eax, (%edi)") \
    X(cmpxchg8b, "cmpxchg8b (%edi)") \
    X(bt_mem, "btl %eax, (%esi)") \
    X(bt_imm, "btl $9, (%esi)") \
    X(bts16, "btsw %ax, (%edi)") \
    X(movs, "movsl") \
    X(movsw_, "movsw") \
    X(rep_movs, "rep movsl") \
    X(rep_stos, "rep stosl") \
    X(rep_movsb, "rep movsb") \
    X(cmps, "cmpsl") \
    X(scas, "scasl") \
    X(lods, "lodsl") \
    X(pushr, "movl %edi, %esp; pushl %eax") \
    X(push16, "movl %edi, %esp; pushw %ax") \
    X(pushseg, "movl %edi, %esp; pushl %ds") \
    X(popr, "movl %esi, %esp; popl %eax") \
    X(popw_, "movl %esi, %esp; popw %ax") \
    X(pusha_, "movl %edi, %esp; pusha") \
    X(pushf_, "movl %edi, %esp; pushf") \
    X(enter_, "movl %edi, %esp; enter $8, $0") \
    X(leave_, "leave") \
    X(pushmem, "pushl (%esi)") \
    X(lfs, "lfs (%esi), %eax") \
    X(lfs16, "lfsw (%esi), %ax") \
    X(bound_, "boundl %eax, (%esi)") \
    X(bound16, "boundw %ax, (%esi)") \
    X(sgdt_, "sgdt (%edi)") \
    X(smsw_, "smsw (%edi)") \
    X(xlat_, "movl %esi, %ebx; xlat") \
    X(movsegmem, "movw (%esi), %fs") \
    X(flds, "flds (%esi)") \
    X(fldl, "fldl (%esi)") \
    X(fldt, "fldt (%esi)") \
    X(fstps, "fldz; fstps (%edi)") \
    X(fstpl, "fldz; fstpl (%edi)") \
    X(fstpt, "fldz; fstpt (%edi)") \
    X(fild16, "filds (%esi)") \
    X(fild32, "fildl (%esi)") \
    X(fild64, "fildll (%esi)") \
    X(fbld_, "fbld (%esi)") \
    X(fbstp_, "fldz; fbstp (%edi)") \
    X(fistpll, "fldz; fistpll (%edi)") \
    X(fldcw_, "fnstcw (%edi)") \
    X(fnstsw_, "fnstsw (%edi)") \
    X(fnstenv_, "fnstenv (%edi)") \
    X(fldenv_, "fldenv (%esi)") \
    X(fnsave_, "fnsave (%edi)") \
    X(frstor_, "frstor (%esi)") \
    X(fnstenvs_, "data16 fnstenv (%edi)") \
    X(movd_mm, "movd (%esi), %mm0") \
    X(movq_mm, "movq (%esi), %mm0") \
    X(movq_st, "movq %mm0, (%edi)") \
    X(paddb_mm, "paddb (%esi), %mm0") \
    X(movd_xmm, "movd (%esi), %xmm0") \
    X(movq_xmm, "movq (%esi), %xmm0") \
    X(movss_, "movss (%esi), %xmm0") \
    X(movsd_, "movsd (%esi), %xmm0") \
    X(movsdst, "movsd %xmm0, (%edi)") \
    X(movlps_, "movlps (%esi), %xmm0") \
    X(movhpsst, "movhps %xmm0, (%edi)") \
    X(movups_, "movups (%esi), %xmm0") \
    X(movdqu_, "movdqu (%esi), %xmm0") \
    X(movupsst, "movups %xmm0, (%edi)") \
    X(movaps_, "movaps (%esi), %xmm0") \
    X(movapsst, "movaps %xmm0, (%edi)") \
    X(lddqu_, "lddqu (%esi), %xmm0") \
    X(addps_, "addps (%esi), %xmm0") \
    X(addss_, "addss (%esi), %xmm0") \
    X(cvtpi2ps_, "cvtpi2ps (%esi), %xmm0") \
    X(cvtps2pd_, "cvtps2pd (%esi), %xmm0") \
    X(stmxcsr_, "stmxcsr (%edi)") \
    X(fxsave_, "fxsave (%edi)") \
    X(movnti_, "movnti %eax, (%edi)") \
    X(movntps_, "movntps %xmm0, (%edi)") \
    X(movntq_, "movntq %mm0, (%edi)") \
    X(maskmovq_, "maskmovq %mm0, %mm1") \
    X(maskmovdqu_, "maskmovdqu %xmm0, %xmm1") \
    X(pinsrw_, "pinsrw $1, (%esi), %xmm0") \
    X(pinsrd_, "pinsrd $1, (%esi), %xmm0") \
    X(pextrd_, "pextrd $1, %xmm0, (%edi)") \
    X(pextrw_, "pextrw $1, %xmm0, (%edi)") \
    X(extractps_, "extractps $1, %xmm0, (%edi)") \
    X(insertps_, "insertps $1, (%esi), %xmm0") \
    X(pmovzxbw_, "pmovzxbw (%esi), %xmm0") \
    X(pmovzxbd_, "pmovzxbd (%esi), %xmm0") \
    X(pmovzxbq_, "pmovzxbq (%esi), %xmm0") \
    X(pcmpistri_, "pcmpistri $0, (%esi), %xmm0") \
    X(movddup_, "movddup (%esi), %xmm0") \
    X(crc32_, "crc32l (%esi), %eax") \
    X(popcnt_, "popcntl (%esi), %eax") \
    X(calls, "movl %edi, %esp; call 1f; 1: nop") \
    X(retn, "movl $2f, (%esi); movl %esi, %esp; ret; 2: nop") \
    X(jmpmem, "jmp *(%esi)") \
    X(prefetch, "prefetcht0 (%esi)") \
    X(lea_, "leal (%esi), %eax") \
    X(cmov_, "cmovzl (%esi), %eax") \
    X(setz_, "setz (%edi)") \
    X(arpl_, "arpl %ax, (%edi)") \
    X(verr_, "verr (%esi)") \
    X(callm, "call *(%esi)") \
    X(lock_bts, "lock btsl %eax, (%edi)") \
    X(fcom16, "ficoms (%esi)") \
    X(faddl_, "faddl (%esi)") \
    X(enter7, "movl %edi, %esp; enter $7, $0") \
    X(enter3, "movl %edi, %ebp; movl %edi, %esp; enter $8, $3") \
    X(callf_, "movl %edi, %esp; lcall $0x23, $1f; 1: nop") \
    X(retf_, "movl $1f, (%esi); movl $0x23, 4(%esi); movl %esi, %esp; lret; 1: nop") \
    X(iret_, "andl $~3, %esi; movl $1f, (%esi); movl $0x23, 4(%esi); movl $0x40202, 8(%esi); " \
        "movl %esi, %esp; iret; 1: movl 1(%esi), %eax; nop") \
    X(iret_off, "andl $~3, %esi; movl $1f, (%esi); movl $0x23, 4(%esi); movl $0x202, 8(%esi); " \
        "movl %esi, %esp; iret; 1: movl 1(%esi), %eax; nop") \
    X(popf16, "movl saved_esp, %esp; pushw $0x202; popfw; movl 1(%esi), %eax") \
    X(popf32, "movl saved_esp, %esp; pushl $0x202; popf; " \
        "movl 1(%esi), %eax; pushl $0x40202; popf; movw (%esi), %ax") \
    X(loop_, "movl $1000, %ecx; 1: movl (%esi), %eax; decl %ecx; jnz 1b") \
    X(ldmxcsr_, "andl $~3, %edi; stmxcsr (%edi); ldmxcsr 2(%edi)") \
    X(syscall_, "movl $20, %eax; int $0x80; movl 2(%esi), %eax") \
    X(cmpxchg_, "cmpxchgl %eax, (%edi)") \
    X(xadd_, "xaddl %eax, (%edi)") \
    X(fsload, "pushl %ds; popl %fs; movl %fs:(%esi), %eax")

typedef void snippet(void);
static unsigned char area[256] __attribute__((aligned(64)));
unsigned saved_esp, at_source, at_target;
static volatile int signo, code, trapno, error, offset, handler_ac;
static volatile unsigned where, flags_at;
static unsigned begin, end_of;

static void caught(int number, siginfo_t *info, void *context) {
    unsigned now;
    asm volatile("pushf; popl %0" : "=r"(now));
    asm volatile("pushf; andl $~0x40000, (%%esp); popf" ::: "memory", "cc");
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    handler_ac = now >> 18 & 1;
    signo = number;
    code = info->si_code;
    where = (unsigned)info->si_addr;
    trapno = r[REG_TRAPNO];
    error = r[REG_ERR];
    offset = r[REG_EIP] - begin;
    flags_at = r[REG_EFL];
    r[REG_EFL] &= ~0x40000;
    r[REG_EIP] = end_of;
}

/* The insns between the labels run with AC set; ESI and EDI point to data. */
#define X(name, text)                                                                             \
    extern char name##_begin[], name##_end[];                                                     \
    void name(void);                                                                              \
    asm(".text\n" #name ": pusha\n movl %esp, saved_esp\n movl at_source, %esi\n"                 \
        " movl at_target, %edi\n xorl %eax, %eax\n xorl %ebx, %ebx\n xorl %edx, %edx\n"            \
        " movl $2, %ecx\n movl %esi, %ebp\n pushf\n orl $0x40000, (%esp)\n popf\n" #name           \
        "_begin: " text "\n movl saved_esp, %esp\n pushf\n andl $~0x40000, (%esp)\n popf\n" #name  \
        "_end: movl saved_esp, %esp\n popa\n ret\n");
SNIPPETS
#undef X

struct row {
    const char *name;
    snippet *run;
    char *begin, *end;
};
#define X(name, text) {#name, name, name##_begin, name##_end},
static struct row rows[] = {SNIPPETS};

static char outcome(struct row *row, unsigned char *source, unsigned char *target) {
    at_source = (unsigned)source;
    at_target = (unsigned)target;
    begin = (unsigned)row->begin;
    end_of = (unsigned)row->end;
    signo = 0;
    row->run();
    asm volatile("emms; fninit");
    if (!signo) return '.';
    int is_check = signo == SIGBUS && code == BUS_ADRALN && !where && trapno == 17 && !error;
    if (is_check && flags_at >> 18 & 1 && handler_ac) return 'a' + offset;
    if (signo == SIGSEGV && trapno == 14) return 'P';
    if (signo == SIGSEGV && trapno == 13) return 'G';
    return signo == SIGILL ? 'I' : '?';
}

int main(void) {
    static char stack[1 << 16];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&ss, 0);
    sigaction(SIGBUS, &action, 0);
    sigaction(SIGSEGV, &action, 0);
    sigaction(SIGILL, &action, 0);
    unsigned char *page = mmap(0, 3 * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, 1);
    mprotect(page + 8192, 4096, 0);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("%-12s ", rows[i].name);
        for (int k = 0; k < 16; k++) {
            memset(area, 0, sizeof area);
            putchar(outcome(&rows[i], area + 64 + k, area + 160 + k));
        }
        for (int at = 8192; at; at -= 4096)
            for (int k = 0; k < 2; k++)
                putchar(outcome(&rows[i], page + at + 64 + k, page + at + 160 + k));
        putchar('\n');
    }
    return 0;
}
