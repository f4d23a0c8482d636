// x87: arithmetic at every rounding and precision, comparisons, environment, tags, decimals.
// build: -fno-builtin -lm
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct { uint64_t low; uint16_t high; } __attribute__((packed)) bits80;
static const bits80 values[] = {
    {0, 0}, {0, 0x8000}, {1ull << 63, 0x3fff}, {1ull << 63, 0xbfff}, {0xc90fdaa22168c235, 0x4000},
    {0xaaaaaaaaaaaaaaab, 0x3ffd}, {1ull << 63, 0x7fff}, {1ull << 63, 0xffff}, {0xc000000000000000, 0xffff},
    {0xa000000000000001, 0x7fff}, {1, 0}, {0x7fffffffffffffff, 0x8000}, {0xffffffffffffffff, 0x7ffe},
    {1ull << 63, 1}, {0xffffffffffffffff, 0x403d}, {0x8000000000000001, 0x403e}, {0xfffffffe00000000, 0x401d},
    {0xb17217f7d1cf79ac, 0x3ffe}, {0x9a209a84fbcff799, 0xbffd}, {0x8000000000000000, 0x3fc0}, {0, 0x4001}, {5, 0x7fff}};
enum { COUNT = sizeof values / sizeof *values };
static uint32_t sum;
static void mix(uint32_t word) { sum = (sum ^ word) * 16777619u; }
static void mix80(const bits80 *v) { mix(v->low); mix(v->low >> 32); mix(v->high); }
static void show(const char *name) { printf("%-12s %08x\n", name, sum); sum = 2166136261u; }
static void control(int precision, int rounding) {
    uint16_t cw = 0x7f | precision << 8 | rounding << 10;
    asm volatile("fninit; fldcw %0" : : "m"(cw));
}
#define TWO(name, insn)                                                                           \
    for (int pc = 0; pc < 4; pc++) if (pc != 1) for (int rc = 0; rc < 4; rc++)                    \
        for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) {                         \
            bits80 r; uint16_t sw; control(pc, rc);                                               \
            asm volatile("fldt %2; fldt %3; " insn "; fnstsw %1; fstpt %0"                        \
                : "=m"(r), "=m"(sw) : "m"(values[i]), "m"(values[j]));                            \
            mix80(&r); mix(sw & 0x3a7f); }                                                        \
    show(name);
#define ONE(name, insn)                                                                           \
    for (int rc = 0; rc < 4; rc++) for (int i = 0; i < COUNT; i++) {                              \
            bits80 r; uint16_t sw; control(3, rc);                                                \
            asm volatile("fldt %2; " insn "; fnstsw %1; fstpt %0" : "=m"(r), "=m"(sw) : "m"(values[i])); \
            mix80(&r); mix(sw & 0x387f); }                                                        \
    show(name);
#define STORE(name, insn, size)                                                                   \
    for (int rc = 0; rc < 4; rc++) for (int i = 0; i < COUNT; i++) {                              \
            uint8_t r[16] = {0}; uint16_t sw; control(3, rc);                                     \
            asm volatile("fldt %2; " insn " %0; fnstsw %1" : "=m"(r), "=m"(sw) : "m"(values[i]));  \
            for (int k = 0; k < size; k++) mix(r[k]);                                             \
            mix(sw & 0x387f); }                                                                   \
    show(name);
#define COMPARE(name, insn)                                                                       \
    for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) {                             \
            uint16_t sw; uint32_t flags; control(3, 0);                                           \
            asm volatile("fldt %2; fldt %3; xor %%eax,%%eax; " insn "; pushfl; popl %1; fnstsw %0"\
                : "=m"(sw), "=r"(flags) : "m"(values[i]), "m"(values[j]) : "eax", "cc");          \
            mix(sw & 0x7d7f); mix(flags & 0x8c5); }                                               \
    show(name);

int main(void) {
    sum = 2166136261u;
    TWO("fadd", "faddp") TWO("fsub", "fsubp") TWO("fsubr", "fsubrp") TWO("fmul", "fmulp")
    TWO("fdiv", "fdivp") TWO("fdivr", "fdivrp") TWO("fscale", "fscale") TWO("fprem", "fprem")
    TWO("fprem1", "fprem1") TWO("fadd_i", "fadd %%st(1),%%st") TWO("fxch", "fxch; fsub %%st(1),%%st")
    TWO("fpatan", "fpatan") TWO("fyl2x", "fyl2x") TWO("fyl2xp1", "fld1; fchs; fscale; fstp %%st(1); fyl2xp1")
    ONE("fsqrt", "fsqrt") ONE("frndint", "frndint") ONE("fabs", "fabs") ONE("fchs", "fchs")
    ONE("fxtract", "fxtract; faddp") ONE("f2xm1", "f2xm1") ONE("fsin", "fsin") ONE("fcos", "fcos")
    ONE("fptan", "fptan; fdivrp") ONE("fsincos", "fsincos; fsubp") ONE("fxam", "fxam") ONE("ftst", "ftst")
    STORE("fstps", "fstps", 4) STORE("fstpl", "fstpl", 8) STORE("fstpt", "fstpt", 10) STORE("fistps", "fistps", 2)
    STORE("fistpl", "fistpl", 4) STORE("fistpll", "fistpll", 8) STORE("fisttps", "fisttps", 2)
    STORE("fisttpl", "fisttpl", 4) STORE("fisttpll", "fisttpll", 8) STORE("fbstp", "fbstp", 10)
    STORE("fsts", "fsts", 4) STORE("fistl", "fistl", 4)
    COMPARE("fcom", "fcom") COMPARE("fcompp", "fcompp") COMPARE("fucom", "fucom") COMPARE("fcomi", "fcomi %%st(1),%%st")
    COMPARE("fucomi", "fucomi %%st(1),%%st") COMPARE("fcomip", "fcomip %%st(1),%%st") COMPARE("fucompp", "fucompp")
    COMPARE("fcmovb", "cmp $1,%%eax; fcmovb %%st(1),%%st; fcom") COMPARE("fcmovne", "test %%eax,%%eax; fcmovne %%st(1),%%st; fcom")
    control(3, 0);
    bits80 c[7];
    asm volatile("fld1; fstpt %0; fldl2t; fstpt %1; fldl2e; fstpt %2; fldpi; fstpt %3; fldlg2; fstpt %4; fldln2; fstpt %5; fldz; fstpt %6"
        : "=m"(c[0]), "=m"(c[1]), "=m"(c[2]), "=m"(c[3]), "=m"(c[4]), "=m"(c[5]), "=m"(c[6]));
    for (int i = 0; i < 7; i++) mix80(&c[i]);
    show("constants");
    // stack overflow, underflow, tags, environment
    uint16_t env[14]; uint32_t state[27]; uint16_t sw;
    asm volatile("fninit; fld1; fldz; fldpi; ffree %%st(1); fincstp; fdecstp; fnstenv %0; fldenv %0" : "=m"(env));
    for (int i = 0; i < 6; i++) if (i % 2 == 0) printf("env %04x\n", env[i]);
    asm volatile("fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fnstsw %0" : "=m"(sw)); printf("overflow %04x\n", sw);
    asm volatile("fninit; faddp; fnstsw %0" : "=m"(sw)); printf("underflow %04x\n", sw);
    asm volatile("fninit; fldpi; fld1; fnsave %0; frstor %0; fnstsw %1; fstp %%st(0)" : "=m"(state), "=m"(sw));
    printf("fnsave %04x %04x %04x %04x", state[0] & 0xffff, state[1] & 0xffff, state[2] & 0xffff, sw);
    for (int i = 7; i < 12; i++) printf(" %08x", state[i]);
    static uint8_t fx[512] __attribute__((aligned(16)));
    asm volatile("fninit; fldpi; fxsave %0; fninit; fxrstor %0; fnstsw %1" : "+m"(fx), "=m"(sw));
    printf("\nfxsave %02x%02x %02x%02x %02x %04x", fx[1], fx[0], fx[3], fx[2], fx[4], sw);
    for (int i = 32; i < 42; i++) printf(" %02x", fx[i]);
    int16_t w = -12345; int32_t l = -1234567890; int64_t q = -1234567890123456789ll; float f = 1.1f; double d = -2.2e-300; uint8_t b[10] = {0x99, 0x12, 0x34, 0, 0, 0, 0, 0, 0x77, 0x80};
    bits80 r;
#define LOAD(insn, x) asm volatile("fninit; " insn " %1; fstpt %0" : "=m"(r) : "m"(x)); printf("\n%-6s %04x%016llx", insn, r.high, (unsigned long long)r.low);
    LOAD("filds", w) LOAD("fildl", l) LOAD("fildll", q) LOAD("flds", f) LOAD("fldl", d) LOAD("fbld", b)
#define MEM(insn, x) asm volatile("fninit; fldpi; " insn " %1; fstpt %0" : "=m"(r) : "m"(x)); mix80(&r);
    MEM("fadds", f) MEM("faddl", d) MEM("fiadds", w) MEM("fiaddl", l) MEM("fmuls", f) MEM("fmull", d) MEM("fimuls", w) MEM("fimull", l)
    MEM("fsubs", f) MEM("fsubl", d) MEM("fsubrs", f) MEM("fisubl", l) MEM("fisubrs", w) MEM("fdivs", f) MEM("fdivl", d) MEM("fdivrl", d) MEM("fidivl", l) MEM("fidivrs", w)
    printf("\n"); show("memory");
    asm volatile("fninit");
    for (int i = 1; i < 200; i++) { double x = i * 0.37; double y = sin(x) + cos(x * 2) * tan(x / 3) + exp(-x / 9) + log(x) + atan2(x, 3) + pow(x, 0.7) + sqrt(x) + fmod(x, 1.3) + floor(x) + sinhl(x / 50) + cbrt(x); uint64_t u; memcpy(&u, &y, 8); mix(u); mix(u >> 32); }
    show("libm");
    long double acc = 0; for (int i = 1; i < 1000; i++) acc += 1.0L / i / i; printf("%.18Lg %.15g %a\n", acc, (double)acc, 0.1);
    return 0;
}
