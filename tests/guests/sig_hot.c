/* Signals and faults in the middle of a hot loop, whose state is known at every insn: the handlers
   compare the frame with it, change registers, go on elsewhere. Threads and a child send signals. */
// build: -msse2 -fno-pie -no-pie -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { N = 4096, PAGE = 4096, OUT = N * 12, THREADS = 2 };
enum { ALL = 0x8d5, LOGIC = 0x8c5 /* AF is undefined */, MUL = 0x801, NONE = 0 };

/* The loop, once: X(insns executed, flags defined before it, text), with ESI, EDI, DV and FIN the
   arrays. S is emitted in the loop only, V without a number. EBP is the handlers'. */
#define FIRST(X, S, V) \
    X(0, ALL, "movl (%esi,%ecx,4),%eax") \
    X(1, ALL, "imull $0x9e3779b1,%eax,%edx") \
    X(2, MUL, "xorl %ecx,%edx") \
    X(3, LOGIC, "addl %eax,%edx") \
    X(4, ALL, "adcl %edx,%ebx") \
    X(5, ALL, "movl %edx,%eax") \
    X(6, ALL, "xorl %edx,%edx") \
    X(7, LOGIC, "divl \\dv(,%ecx,4)") \
    X(8, NONE, "addl %eax,%ebx") \
    X(9, ALL, "testl $16,%eax") \
    X(10, LOGIC, "jz 9f") \
    X(11, LOGIC, "notl %ebx") \
    V("9:") \
    X(12, LOGIC, "rcll %ebx") \
    X(13, LOGIC, "fldl \\fin(,%ecx,8)") \
    X(14, LOGIC, "fmul %st(0),%st") \
    S(15, LOGIC, "call hot_leaf")
#define LEAF(X, S) \
    X(16, LOGIC, "addl $3,%ebx") \
    S(17, ALL, "ret")
#define SECOND(X, S) \
    X(18, ALL, "faddp %st,%st(1)") \
    X(19, ALL, "movdqu (%esi,%ecx,4),%xmm0") \
    X(20, ALL, "paddd %xmm0,%xmm1") \
    X(21, ALL, "pxor %xmm1,%xmm2") \
    X(22, ALL, "cmpl %ebx,%eax") \
    X(23, ALL, "sbbl %edx,%edx") \
    X(24, ALL, "movl %ebx,(%edi,%ecx,4)") \
    X(25, ALL, "fstl 16384(%edi,%ecx,8)") \
    X(26, ALL, "addl $1,%ecx") \
    X(27, ALL, "cmpl $4096,%ecx") \
    S(28, ALL, "jne hot_start")
enum { INSNS = 29, LOADS_DIVISOR = 7, CALLED = 16, RETURNS = 17, STORES = 24, COUNTS = 26 };

#define AT_LOOP(k, mask, text) "771: .pushsection hot_table,\"a\"; .long 771b," #k "," #mask "; .popsection\n" text "\n"
#define AT_PART(k, mask, text) ".if \\n > " #k "\n" text "\n.endif\n"
#define NOTHING(k, mask, text) ""
#define PLAIN(text) text "\n"

struct state { /* what the loop has in registers; used by the assembly below */
    uint32_t eax, ecx, edx, ebx, esi, edi, eflags, code;
    uint8_t fx[512] __attribute__((aligned(16)));
};

extern char hot_start[], hot_end[], injected[];
extern const struct place { uint32_t address, insns, flags; } __start_hot_table[], __stop_hot_table[];
extern const uint32_t hot_parts[INSNS];
void hot_run(struct state *state, uint32_t *bonus), hot_part(struct state *state);

__asm__(".text\n.set ALL, 0x8d5; .set LOGIC, 0x8c5; .set MUL, 0x801; .set NONE, 0\n"
        ".macro hot_body dv fin\n hot_start:\n" FIRST(AT_LOOP, AT_LOOP, PLAIN) SECOND(AT_LOOP, AT_LOOP) "hot_end: .endm\n"
        ".macro hot_cut n dv fin\n" FIRST(AT_PART, NOTHING, PLAIN) LEAF(AT_PART, NOTHING) SECOND(AT_PART, NOTHING)
        " jmp hot_capture\n .endm\n"
        ".macro hot_each n\n 772: .pushsection .data.rel.ro.hot,\"aw\"; .long 772b; .popsection\n hot_cut \\n, dv_good, fin_good\n .endm\n"
        ".pushsection .data.rel.ro.hot,\"aw\"; .balign 4; hot_parts: .popsection\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28\n hot_each \\n\n .endr\n"
        "hot_leaf:\n" LEAF(AT_LOOP, AT_LOOP)
        /* A handler that redirects EIP here has pushed where to go on. */
        "injected: pushfl; pushal; incl injections; xorl %eax,%eax; decl %eax; popal; popfl; ret\n"
        "hot_part: pushal; movl 36(%esp),%ebp; fxrstor 32(%ebp); movl (%ebp),%eax; movl 4(%ebp),%ecx\n"
        " movl 8(%ebp),%edx; movl 12(%ebp),%ebx; movl 16(%ebp),%esi; movl 20(%ebp),%edi\n"
        " pushl 24(%ebp); popfl; jmp *28(%ebp)\n"
        "hot_capture: pushfl; popl 24(%ebp); movl %eax,(%ebp); movl %ecx,4(%ebp); movl %edx,8(%ebp)\n"
        " movl %ebx,12(%ebp); movl %esi,16(%ebp); movl %edi,20(%ebp); fxsave 32(%ebp); fninit; popal; ret\n"
        "hot_run: pushal; movl 36(%esp),%ebp; pushl %ebp; movl %esp,%eax; call note_stack\n"
        " fxrstor 32(%ebp); movl (%ebp),%eax; movl 4(%ebp),%ecx\n"
        " movl 8(%ebp),%edx; movl 12(%ebp),%ebx; movl 16(%ebp),%esi; movl 20(%ebp),%edi\n"
        " pushl 24(%ebp); xorl %ebp,%ebp; popfl\n hot_body dv, fin\n"
        " pushfl; pushl %ebp; movl 8(%esp),%ebp; movl %eax,(%ebp); movl %ecx,4(%ebp); movl %edx,8(%ebp)\n"
        " movl %ebx,12(%ebp); movl %esi,16(%ebp); movl %edi,20(%ebp); popl %eax; popl 24(%ebp)\n"
        " fxsave 32(%ebp); fninit; addl $4,%esp; movl 40(%esp),%ebp; movl %eax,(%ebp); popal; ret\n");

static uint8_t memory[THREADS][OUT] __attribute__((aligned(PAGE))), scratch[THREADS][OUT];
uint32_t in[N + 1024] __attribute__((aligned(PAGE))), dv[N] __attribute__((aligned(PAGE)));
double fin[N] __attribute__((aligned(PAGE)));
uint32_t in_good[N + 4], dv_good[N];
double fin_good[N];
uint32_t injections;
static struct state trace[N + 1]; /* before each round of the loop */
static const uint8_t *result;     /* what the loop leaves in memory */
static volatile uint32_t seen[3], wrong, faults, divisions;
static volatile int is_over;
static __thread volatile uint32_t mine, stack;
static __thread int number;
static uint32_t seed = 1;

__attribute__((regparm(1))) void note_stack(uint32_t esp) { stack = esp; }

static uint32_t next(void) { return (seed = seed * 1664525 + 1013904223) >> 8; }

static void complain(const char *what, uint32_t insns, uint32_t got, uint32_t want)
{
    if (__sync_fetch_and_add(&wrong, 1) < 5)
        printf("wrong %s before insn %u: %x, not %x\n", what, insns, got, want);
}

/* Compare the two images of FPU and SSE state; what empty x87 registers hold is nobody's business. */
static void check_fx(const uint8_t *got, const uint8_t *want, uint32_t insns)
{
    if (memcmp(got, want, 4) || got[4] != want[4])
        complain("x87 words", insns, *(uint32_t *)got, *(uint32_t *)want);
    if (*(uint32_t *)(got + 24) != *(uint32_t *)(want + 24))
        complain("mxcsr", insns, *(uint32_t *)(got + 24), *(uint32_t *)(want + 24));
    for (int i = 0; i < 8; i++) {
        int top = want[3] >> 3 & 7;
        if (want[4] >> ((top + i) & 7) & 1 && memcmp(got + 32 + 16 * i, want + 32 + 16 * i, 10))
            complain("st", insns, i, *(uint32_t *)(got + 32 + 16 * i));
        if (i < 7 && memcmp(got + 160 + 16 * i, want + 160 + 16 * i, 16))
            complain("xmm", insns, i, *(uint32_t *)(got + 160 + 16 * i));
    }
}

/* Compare a frame with what the first insns of that round of the loop give. */
static const struct place *check(ucontext_t *uc)
{
    greg_t *r = uc->uc_mcontext.gregs;
    const struct place *place = __start_hot_table;
    while (place < __stop_hot_table && place->address != (uint32_t)r[REG_EIP])
        place++;
    if (place == __stop_hot_table)
        return NULL;
    uint32_t insns = place->insns, round = r[REG_ECX] - (insns > COUNTS);
    if (round > N) {
        complain("round", insns, round, N);
        return place;
    }
    struct state want = trace[round];
    want.esi = (uint32_t)in_good;
    want.edi = (uint32_t)scratch[number];
    want.code = hot_parts[insns];
    hot_part(&want);
    static const uint8_t names[][4] = {"eax", "edx", "ebx", "ecx"};
    uint32_t got[] = {r[REG_EAX], r[REG_EDX], r[REG_EBX], r[REG_ECX]};
    uint32_t wanted[] = {want.eax, want.edx, want.ebx, want.ecx};
    for (int i = 0; i < 4; i++)
        if (got[i] != wanted[i])
            complain((const char *)names[i], insns, got[i], wanted[i]);
    if (r[REG_ESI] != (greg_t)in || r[REG_EDI] != (greg_t)memory[number])
        complain("esi or edi", insns, r[REG_ESI], (uint32_t)in);
    uint32_t esp = stack - (insns == CALLED || insns == RETURNS ? 4 : 0);
    if (r[REG_ESP] != (greg_t)esp)
        complain("esp", insns, r[REG_ESP], esp);
    if ((r[REG_EFL] ^ want.eflags) & place->flags)
        complain("flags", insns, r[REG_EFL] & place->flags, want.eflags & place->flags);
    check_fx((uint8_t *)uc->uc_mcontext.fpregs + 112, want.fx, insns);
    uint32_t stored = *(uint32_t *)(memory[number] + 4 * round), final = *(uint32_t *)(result + 4 * round);
    if (stored != (insns > STORES ? final : 0x55555555))
        complain("memory", insns, stored, final);
    return place;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    seen[signo == SIGALRM ? 0 : signo == SIGUSR1 ? 1 : 2]++;
    if (!check(uc))
        return;
    /* Seen at the end: a register, a vector, and that all else outlives a call in between. */
    mine++;
    r[REG_EBP]++;
    ++*(uint32_t *)((uint8_t *)uc->uc_mcontext.fpregs + 112 + 160 + 16 * 7);
    if (mine % 3 == 0) {
        r[REG_ESP] -= 4;
        *(uint32_t *)r[REG_ESP] = r[REG_EIP];
        r[REG_EIP] = (greg_t)injected;
    }
    (void)info;
}

/* Make the access possible and have it done again, or do the insn in its stead. */
static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *r = uc->uc_mcontext.gregs;
    const struct place *place = check(uc);
    uint32_t round = r[REG_ECX], page = (uint32_t)info->si_addr & -PAGE;
    static int turn;
    faults++;
    if (!place) {
        printf("signal %d at %x for %p\n", signo, r[REG_EIP], info->si_addr);
        _exit(1);
    }
    if (signo == SIGFPE) {
        divisions++;
        if (place->insns != LOADS_DIVISOR || info->si_code != FPE_INTDIV || dv[round])
            complain("SIGFPE", place->insns, info->si_code, 0);
        dv[round] = dv_good[round];
        if (round & 1) { /* the frame goes on behind the insn */
            r[REG_EDX] = (uint32_t)r[REG_EAX] % dv_good[round];
            r[REG_EAX] = (uint32_t)r[REG_EAX] / dv_good[round];
            r[REG_EIP] = place[1].address;
        }
        return;
    }
    if (info->si_code != SEGV_ACCERR || r[REG_TRAPNO] != 14)
        complain("SIGSEGV", place->insns, info->si_code, SEGV_ACCERR);
    if (place->insns == 0 && page - (uint32_t)in < sizeof in && ++turn % 2) {
        r[REG_EAX] = in_good[round];
        r[REG_EIP] = place[1].address;
    } else
        mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
}

static void prepare(struct state *state)
{
    *state = trace[0];
    state->esi = (uint32_t)in;
    state->edi = (uint32_t)memory[number];
}

static int run(void)
{
    struct state state;
    uint32_t bonus, marks, before = mine, failed = wrong;
    prepare(&state);
    hot_run(&state, &bonus);
    marks = *(uint32_t *)(state.fx + 160 + 16 * 7) - *(uint32_t *)(trace[0].fx + 160 + 16 * 7);
    if (bonus != mine - before || marks != mine - before)
        complain("count of changes", bonus, marks, mine - before);
    if (memcmp(&state, &trace[N], 16) || (state.eflags ^ trace[N].eflags) & ALL)
        complain("end", 0, state.ebx, trace[N].ebx);
    check_fx(state.fx, trace[N].fx, 99);
    if (memcmp(memory[number], result, OUT))
        complain("results", 0, 0, 0);
    memset(memory[number], 0x55, OUT);
    return wrong != failed;
}

static void *second(void *unused)
{
    number = 1;
    while (!is_over)
        run();
    return unused;
}

static pthread_t threads[2];

static void *sender(void *unused)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (unsigned i = 0; !is_over; i++) {
        pthread_kill(threads[i % 2], SIGUSR1);
        nanosleep(&(struct timespec){0, 700000 + i * 7919 % 400000}, NULL);
    }
    return unused;
}

/* Run *rounds* rounds at least, under a storm of signals, until enough of each kind have come. */
static void storm(const char *name, int rounds, int with_faults, void (*spoil)(void))
{
    pthread_t other, sending;
    uint32_t before[3] = {seen[0], seen[1], seen[2]}, bad = 0;
    time_t until = time(NULL) + 20;
    struct itimerval timer = {{0, 1100}, {0, 1100}}, none = {{0}};
    pid_t parent = getpid(), child = fork();
    if (!child) {
        for (unsigned i = 0; getppid() == parent; i++) {
            kill(parent, SIGUSR2);
            usleep(900 + i * 31 % 500);
        }
        _exit(0);
    }
    is_over = 0;
    threads[0] = threads[1] = pthread_self();
    if (!with_faults)
        pthread_create(&threads[1], NULL, second, NULL);
    pthread_create(&sending, NULL, sender, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0;; i++) {
        int enough = 1;
        for (int k = 0; k < 3; k++)
            enough &= seen[k] - before[k] >= 60;
        if (i >= rounds && (enough || time(NULL) > until))
            break;
        if (i < rounds && spoil)
            spoil();
        bad += run();
    }
    setitimer(ITIMER_REAL, &none, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    is_over = 1;
    pthread_join(sending, NULL);
    if (!with_faults)
        pthread_join(threads[1], NULL);
    printf("%s: %u rounds failed; signals came: %d %d %d\n", name, bad, seen[0] > before[0],
           seen[1] > before[1], seen[2] > before[2]);
}

static void close_page(void *array, unsigned pages, int prot)
{
    mprotect((uint8_t *)array + next() % pages * PAGE, PAGE, prot);
}

/* Take pages away and divisors, at other places each time. */
static void spoil(void)
{
    close_page(in, 4, PROT_NONE);
    close_page(dv, 4, PROT_NONE);
    close_page(fin, 8, PROT_NONE);
    close_page(memory[0], OUT / PAGE, PROT_READ);
    mprotect(dv, sizeof dv, PROT_READ | PROT_WRITE);
    for (int i = 0; i < 3; i++)
        dv[next() % N] = 0;
    close_page(dv, 4, PROT_NONE);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < N + 4; i++)
        in[i] = in_good[i] = next() * 2654435761u;
    for (int i = 0; i < N; i++) {
        dv[i] = dv_good[i] = next() % 5000 + 1;
        fin[i] = fin_good[i] = (int)next() / 1000.0;
    }
    /* The trace, one insn after the other. */
    struct state state = {.esi = (uint32_t)in_good, .edi = (uint32_t)scratch[0], .eflags = 0x202};
    __asm__ volatile("fninit; fldz; fxsave %0; fninit" : "=m"(state.fx));
    memset(state.fx + 160, 17, 128);
    for (int i = 0; i <= N; i++) {
        trace[i] = state;
        state.code = hot_parts[INSNS - 1];
        if (i < N)
            hot_part(&state);
    }
    result = memcpy(malloc(OUT), scratch[0], OUT);
    uint32_t sum = 0;
    for (int i = 0; i < OUT; i++)
        sum = sum * 31 + result[i];
    printf("trace %x %x %x\n", trace[N].ebx, *(uint32_t *)(trace[N].fx + 160 + 32), sum);

    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    action.sa_sigaction = on_signal;
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);

    int bad = 0;
    memset(memory, 0x55, sizeof memory);
    for (int i = 0; i < 100; i++)
        bad += run();
    printf("quiet: %d rounds failed\n", bad);
    for (int i = 0; i < 100; i++) {
        spoil();
        bad += run();
    }
    printf("faults: %d rounds failed, %u faults, %u divisions\n", bad, faults, divisions);
    storm("storm", 50, 0, NULL);
    storm("storm with faults", 50, 1, spoil);
    printf("in all %u faults, wrong %u, injected %d\n", faults, wrong, injections > 0);
    return 0;
}
