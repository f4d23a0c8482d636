// build: -nostdlib -fno-stack-protector -fno-pie -no-pie
// A few thousand insns of every common kind and no system call but the last: the same in every run.
static unsigned char source[64], target[64];
static unsigned table[16];
static volatile double real = 1.5;

static unsigned call(unsigned (*function)(unsigned), unsigned x) { return function(x); }
static __attribute__((noinline)) unsigned odd(unsigned x) { return x * 3 + 1; }
static __attribute__((noinline)) unsigned even(unsigned x) { return x >> 1; }

static __attribute__((noinline)) unsigned collatz(unsigned x) {
    unsigned steps = 0;
    for (; x != 1; steps++) x = call(x & 1 ? odd : even, x);
    return steps;
}

void _start(void) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 64; i++) source[i] = i * 37 + 11;
    for (unsigned i = 1; i < 16; i++) {
        unsigned quotient, rest, low = i * 0x9E3779B9u;
        __asm__ volatile("mull %3\n\tdivl %4" : "=&a"(quotient), "=&d"(rest)
                         : "0"(low), "r"(i), "r"(i + 5) : "cc");
        __asm__ volatile("bt $3, %0\n\tadcl %1, %0\n\trcll $3, %0\n\tsbbl $7, %0\n\tshldl $5, %1, %0"
                         : "+r"(sum) : "r"(quotient ^ rest) : "cc");
        __asm__ volatile("cmpl %1, %0\n\tcmovbl %1, %0\n\tbsfl %1, %1\n\tsetnz %b0"
                         : "+q"(sum), "+r"(low) : : "cc");
        table[i] = sum;
        real = real * 1.25 + i;
    }
    void *s = source, *d = target;
    unsigned count = 40;
    __asm__ volatile("cld\n\trep movsb" : "+S"(s), "+D"(d), "+c"(count) : : "memory", "cc");
    s = source, d = target, count = 64;
    __asm__ volatile("repe cmpsb" : "+S"(s), "+D"(d), "+c"(count) : : "memory", "cc");
    for (unsigned i = 1; i < 10; i++) sum += collatz(i) * count;
    __asm__ volatile("pushf\n\tstc\n\tdaa\n\tpopf\n\txchgl %%ebx, %0" : "+r"(sum) : : "cc", "memory", "ebx");
    for (unsigned i = 0; i < 16; i++) sum = (sum << 5 | sum >> 27) ^ table[i];
    sum += (unsigned)real;
    __asm__ volatile("int $0x80" : : "a"(1), "b"(sum & 0x7F));
}
