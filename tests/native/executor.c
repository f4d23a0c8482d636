/* Cases in shared memory -> what this CPU makes of them. A static i386 program without a C library.
 *
 * Standard input brings one 32-bit count a batch; one byte on standard output says that the results
 * are there. A case begins by returning from a signal handler into `enter` and ends with a signal:
 * F4 (HLT) faults in user mode, so each end, wanted or not, gives the exact registers. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum {
    CODE = 0x20000000, CODE_SIZE = 0x10000,
    DATA = 0x30000000, STACK = 0x40000000, LOW = 0x4000, REGION_SIZE = 0x2000,
    SHARED = 0x6a000000, MAX_CASES = 512, MAX_CHANGES = 16,
    OWN_BEGIN = 0x68000000, OWN_END = 0x6c000000u, SPACE_END = 0xffffe000u,
    FS_BASE = 0x9abcdef0u, GS_BASE = DATA - LOW,
};

struct change { u32 address, size; u8 data[64]; };
struct test {
    u32 eip, regs[8], eflags, n_changes;
    u16 fs, gs;
    u8 fx[512] __attribute__((aligned(16)));
    struct change changes[MAX_CHANGES];
};
struct result {
    u32 signal, vector, error, cr2, eip, eflags, regs[8];
    u16 segments[6]; /* cs ds es ss fs gs */
    u32 unused[3];
    u8 fx[512];
    u8 memory[3][REGION_SIZE]; /* data, stack, low */
};
struct shared {
    u32 has_low, unused[3];
    u8 code[CODE_SIZE];
    struct test tests[MAX_CASES];
    struct result results[MAX_CASES];
};

struct context { /* struct ucontext of i386 */
    u32 flags, link, stack[3];
    u32 gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, trapno, err, eip, cs, eflags, esp2, ss;
    u8 *fpstate;
    u32 oldmask, cr2;
};

static struct shared *const shared = (struct shared *)SHARED;
static u8 pattern[3][REGION_SIZE], signal_stack[65536] __attribute__((aligned(64)));
u8 first_stack[4096] __attribute__((aligned(16)));
static u32 count, at, ticked, is_running;

/* What `enter` loads; named in the assembly below. */
u8 start_fx[512] __attribute__((aligned(16)));
u32 start_frame[9], start_esp, start_eip;

static int call(int number, u32 a, u32 b, u32 c, u32 d) {
    int result;
    asm volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

static void copy(void *to, const void *from, u32 size) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static u32 map(u32 address, u32 size, u32 prot, u32 flags, u32 fd) {
    u32 arguments[6] = {address, size, prot, flags, fd, 0};
    return (u32)call(90, (u32)arguments, 0, 0, 0); /* old mmap: its arguments in memory */
}

static void finish(u32 signal, const struct context *uc) {
    struct result *r = &shared->results[at++];
    is_running = 0;
    r->signal = signal;
    r->vector = uc->trapno;
    r->error = uc->err;
    r->cr2 = uc->cr2;
    r->eip = uc->eip;
    r->eflags = uc->eflags;
    r->regs[0] = uc->eax; r->regs[1] = uc->ecx; r->regs[2] = uc->edx; r->regs[3] = uc->ebx;
    r->regs[4] = uc->esp; r->regs[5] = uc->ebp; r->regs[6] = uc->esi; r->regs[7] = uc->edi;
    r->segments[0] = uc->cs; r->segments[1] = uc->ds; r->segments[2] = uc->es;
    r->segments[3] = uc->ss; r->segments[4] = uc->fs; r->segments[5] = uc->gs;
    copy(r->fx, uc->fpstate + 112, 512); /* the FXSAVE image follows the 112 bytes of FSAVE form */
    copy(r->memory[0], (void *)DATA, REGION_SIZE);
    copy(r->memory[1], (void *)STACK, REGION_SIZE);
    if (shared->has_low)
        copy(r->memory[2], (void *)LOW, REGION_SIZE);
}

static void next_batch(void) {
    u8 done = 1;
    while (count && call(4, 1, (u32)&done, 1, 0) != 1)
        ;
    int got;
    while ((got = call(3, 0, (u32)&count, 4, 0)) == -4) /* EINTR: the clock ticked */
        ;
    if (got != 4 || count == 0 || count > MAX_CASES)
        call(252, 0, 0, 0, 0);
    call(125, CODE, CODE_SIZE, 3, 0); /* mprotect RW, then RX */
    copy((void *)CODE, shared->code, CODE_SIZE);
    call(125, CODE, CODE_SIZE, 5, 0);
    at = 0;
}

static void start(struct context *uc) {
    extern char enter[];
    const struct test *t = &shared->tests[at];
    copy((void *)DATA, pattern[0], REGION_SIZE);
    copy((void *)STACK, pattern[1], REGION_SIZE);
    if (shared->has_low)
        copy((void *)LOW, pattern[2], REGION_SIZE);
    for (u32 i = 0; i < t->n_changes && i < MAX_CHANGES; i++)
        copy((void *)t->changes[i].address, t->changes[i].data, t->changes[i].size);
    copy(start_fx, t->fx, 512);
    start_frame[0] = t->eflags;
    for (u32 i = 0; i < 8; i++)
        start_frame[1 + i] = t->regs[7 - i];
    start_esp = t->regs[4];
    start_eip = t->eip;
    uc->eip = (u32)enter;
    uc->eflags = 0x202;
    uc->cs = 0x23;
    uc->ds = uc->es = uc->ss = 0x2b;
    uc->fs = t->fs;
    uc->gs = t->gs;
    ticked = 0;
    is_running = 1;
}

void handle(u32 signal, void *info, struct context *uc) {
    (void)info;
    if (signal == 14) { /* the clock: the second tick within one case ends it */
        if (!is_running || ticked++ == 0)
            return;
    }
    if (is_running)
        finish(signal, uc);
    if (at >= count)
        next_batch();
    start(uc);
}

asm(".globl handler, enter, restore, _start\n"
    "handler: pushf; andl $~0x40000,(%esp); popf; jmp handle\n" /* AC survives into handlers */
    "enter: fxrstor start_fx; movl $start_frame,%esp; popfl; popal; movl start_esp,%esp\n"
    "  jmp *start_eip\n"
    "restore: movl $173,%eax; int $0x80\n"
    "_start: movl $first_stack+4096,%esp; call setup\n");

static void segment(u32 selector, u32 base) {
    u32 descriptor[4] = {selector / 8, base, 0xfffff, 0x51}; /* 4 GiB of data, 32-bit, useable */
    if (call(243, (u32)descriptor, 0, 0, 0))
        call(252, 4, 0, 0, 0);
}

void setup(void) {
    extern char handler[], restore[];
    static const u8 signals[] = {4, 5, 7, 8, 11, 14};
    /* Stack, vdso and whatever else the kernel mapped: a case must find nothing there. */
    call(91, 0x10000, OWN_BEGIN - 0x10000, 0, 0);
    call(91, OWN_END, SPACE_END - OWN_END, 0, 0);
    segment(0x63, FS_BASE);
    segment(0x6b, GS_BASE);
    if (map(SHARED, sizeof(struct shared), 3, 0x11, 3) != SHARED)
        call(252, 2, 0, 0, 0);
    if (map(CODE, CODE_SIZE, 3, 0x32, -1) != CODE || map(DATA, REGION_SIZE, 3, 0x32, -1) != DATA ||
        map(STACK, REGION_SIZE, 3, 0x32, -1) != STACK)
        call(252, 3, 0, 0, 0);
    shared->has_low = map(LOW, REGION_SIZE, 3, 0x32, -1) == LOW;
    for (u32 i = 0; i < REGION_SIZE; i++) {
        pattern[0][i] = (DATA + i) * 2654435761u >> 24;
        pattern[1][i] = (STACK + i) * 2654435761u >> 24;
        pattern[2][i] = (LOW + i) * 2654435761u >> 24;
    }
    u32 stack[3] = {(u32)signal_stack, 0, sizeof signal_stack};
    call(186, (u32)stack, 0, 0, 0);
    for (u32 i = 0; i < sizeof signals; i++) {
        /* SA_SIGINFO SA_ONSTACK SA_NODEFER SA_RESTORER */
        u32 action[5] = {(u32)handler, 0x4c000004, (u32)restore, 0, 0};
        call(174, signals[i], (u32)action, 0, 8);
    }
    u32 timer[4] = {0, 20000, 0, 20000};
    call(104, 0, (u32)timer, 0, 0);
    asm volatile("ud2");
}
