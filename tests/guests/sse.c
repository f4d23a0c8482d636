// SSE to SSSE3 by intrinsics and assembly: results and MXCSR as checksums over interesting lanes.
// build: -mssse3 -mfpmath=sse
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <tmmintrin.h>

typedef union { __m128 f; __m128d d; __m128i i; uint32_t u[4]; uint64_t q[2]; uint8_t b[16]; } reg;
static const uint32_t words[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00001,
    0x7fa00000, 1, 0x807fffff, 0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000001, 0x40490fdb, 0x3eaaaaab,
    0x12345678, 0x80818283, 0x7fffffff, 0xffff7fff, 0x00010203, 0x42c80000, 0xc2f6e979, 0x3f000000};
static const uint64_t quads[] = {0, 1ull << 63, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000001, 0x7ff4000000000000, 1, 0x800fffffffffffff, 0x0010000000000000,
    0x7fefffffffffffff, 0x41e0000000000000, 0xc1e0000000200000, 0x400921fb54442d18, 0x3fd5555555555555,
    0x36a0000000000000, 0x47efffffe0000000, 0x380fffffe0000000, 0x0123456789abcdef, 0x43e0000000000000,
    0x4059000000000000, 0xc05edd2f1a9fbe77, 0x3fe0000000000000};
enum { COUNT = 24 };
static uint32_t sum;
static void mix(uint32_t word) { sum = (sum ^ word) * 16777619u; }
static void mix_reg(reg r) { for (int i = 0; i < 4; i++) mix(r.u[i]); }
static void show(const char *name) { printf("%-18s %08x\n", name, sum); sum = 2166136261u; }
static reg single(int n) { reg r; for (int i = 0; i < 4; i++) r.u[i] = words[(n + i * 5) % COUNT]; return r; }
static reg twice(int n) { reg r; for (int i = 0; i < 2; i++) r.q[i] = quads[(n + i * 7) % COUNT]; return r; }
static const uint32_t modes[] = {0x1f80, 0x3f80, 0x5f80, 0x7f80, 0x9fc0, 0x1fc0, 0x9f80};

#define OP(name, load, kind, expression)                                                          \
    for (int m = 0; m < 7; m++) for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) { \
        reg a = load(i), b = load(j), r = a; uint32_t csr = modes[m];                             \
        asm volatile("ldmxcsr %0" : : "m"(csr));                                                  \
        asm volatile(name " %1, %0" : "+x"(r.i) : "x"(b.i));                                      \
        asm volatile("stmxcsr %0" : "=m"(csr));                                                   \
        mix_reg(r); mix(csr); (void)a; }                                                          \
    csr_reset(); show(name);
#define INT(name)                                                                                 \
    for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) {                             \
        reg a = single(i), b = twice(j), r = a;                                                   \
        asm volatile(name " %1, %0" : "+x"(r.i) : "x"(b.i)); mix_reg(r);                          \
        r = b; asm volatile(name " %1, %0" : "+x"(r.i) : "m"(a.i)); mix_reg(r); }                 \
    show(name);
#define MMX(name)                                                                                 \
    for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) {                             \
        uint64_t a = quads[i], b = quads[j] * 3 + words[i];                                       \
        asm volatile("movq %0, %%mm0; " name " %1, %%mm0; movq %%mm0, %0; emms" : "+m"(a) : "m"(b) : "mm0"); \
        mix(a); mix(a >> 32); }                                                                   \
    show("mmx " name);
#define IMM(name, text)                                                                           \
    for (int i = 0; i < COUNT; i++) { reg a = single(i), r = twice(i);                            \
        asm volatile(name " $" text ", %1, %0" : "+x"(r.i) : "x"(a.i)); mix_reg(r); }             \
    show(name " " text);
#define TO_INT(name, load)                                                                        \
    for (int m = 0; m < 4; m++) for (int i = 0; i < COUNT; i++) { reg a = load(i); int32_t r; uint32_t csr = modes[m]; \
        asm volatile("ldmxcsr %2; " name " %1, %0; stmxcsr %2" : "=r"(r), "+x"(a.i), "+m"(csr)); mix(r); mix(csr); } \
    csr_reset(); show(name);
#define COMPARE(name, load)                                                                       \
    for (int i = 0; i < COUNT; i++) for (int j = 0; j < COUNT; j++) { reg a = load(i), b = load(j); uint32_t f, csr = 0x1f80; \
        asm volatile("ldmxcsr %3; " name " %2, %1; pushfl; popl %0; stmxcsr %3" : "=r"(f) : "x"(a.i), "x"(b.i), "m"(csr) : "cc", "memory"); \
        mix(f & 0x8d5); mix(csr); }                                                               \
    csr_reset(); show(name);
static void csr_reset(void) { uint32_t csr = 0x1f80; asm volatile("ldmxcsr %0" : : "m"(csr)); }

int main(void) {
    sum = 2166136261u;
    OP("addps", single, f,) OP("subps", single, f,) OP("mulps", single, f,) OP("divps", single, f,) OP("sqrtps", single, f,)
    OP("minps", single, f,) OP("maxps", single, f,) OP("addss", single, f,) OP("subss", single, f,) OP("mulss", single, f,)
    OP("divss", single, f,) OP("sqrtss", single, f,) OP("minss", single, f,) OP("maxss", single, f,) OP("addpd", twice, d,)
    OP("subpd", twice, d,) OP("mulpd", twice, d,) OP("divpd", twice, d,) OP("sqrtpd", twice, d,) OP("minpd", twice, d,)
    OP("maxpd", twice, d,) OP("addsd", twice, d,) OP("subsd", twice, d,) OP("mulsd", twice, d,) OP("divsd", twice, d,)
    OP("sqrtsd", twice, d,) OP("minsd", twice, d,) OP("maxsd", twice, d,) OP("haddps", single, f,) OP("hsubps", single, f,)
    OP("haddpd", twice, d,) OP("hsubpd", twice, d,) OP("addsubps", single, f,) OP("addsubpd", twice, d,)
    OP("cvtps2pd", single, f,) OP("cvtpd2ps", twice, d,) OP("cvtss2sd", single, f,) OP("cvtsd2ss", twice, d,)
    OP("cvtdq2ps", single, f,) OP("cvtps2dq", single, f,) OP("cvttps2dq", single, f,) OP("cvtdq2pd", single, f,)
    OP("cvtpd2dq", twice, d,) OP("cvttpd2dq", twice, d,)
    OP("cmpeqps", single, f,) OP("cmpltps", single, f,) OP("cmpleps", single, f,) OP("cmpunordps", single, f,)
    OP("cmpneqpd", twice, d,) OP("cmpnltpd", twice, d,) OP("cmpnlesd", twice, d,) OP("cmpordss", single, f,)
    TO_INT("cvtss2si", single) TO_INT("cvttss2si", single) TO_INT("cvtsd2si", twice) TO_INT("cvttsd2si", twice)
    COMPARE("ucomiss", single) COMPARE("comiss", single) COMPARE("ucomisd", twice) COMPARE("comisd", twice)
    INT("paddb") INT("paddw") INT("paddd") INT("paddq") INT("psubb") INT("psubw") INT("psubd") INT("psubq")
    INT("paddsb") INT("paddsw") INT("paddusb") INT("paddusw") INT("psubsb") INT("psubsw") INT("psubusb") INT("psubusw")
    INT("pmullw") INT("pmulhw") INT("pmulhuw") INT("pmuludq") INT("pmaddwd") INT("psadbw") INT("pavgb") INT("pavgw")
    INT("pminub") INT("pmaxub") INT("pminsw") INT("pmaxsw") INT("pand") INT("pandn") INT("por") INT("pxor")
    INT("pcmpeqb") INT("pcmpeqw") INT("pcmpeqd") INT("pcmpgtb") INT("pcmpgtw") INT("pcmpgtd") INT("packsswb")
    INT("packssdw") INT("packuswb") INT("punpcklbw") INT("punpckhbw") INT("punpcklwd") INT("punpckhwd") INT("punpckldq")
    INT("punpckhdq") INT("punpcklqdq") INT("punpckhqdq") INT("psllw") INT("pslld") INT("psllq") INT("psrlw") INT("psrld")
    INT("psrlq") INT("psraw") INT("psrad") INT("pshufb") INT("phaddw") INT("phaddd") INT("phaddsw") INT("phsubw")
    INT("phsubd") INT("phsubsw") INT("pmaddubsw") INT("psignb") INT("psignw") INT("psignd") INT("pmulhrsw") INT("pabsb")
    INT("pabsw") INT("pabsd") INT("unpcklps") INT("unpckhps") INT("unpcklpd") INT("unpckhpd") INT("andps") INT("andnpd")
    INT("orps") INT("xorpd")
    MMX("paddb") MMX("psubsw") MMX("paddusb") MMX("pmullw") MMX("pmulhw") MMX("pmaddwd") MMX("packsswb") MMX("packuswb")
    MMX("punpcklbw") MMX("punpckhwd") MMX("pcmpgtb") MMX("psllq") MMX("psrad") MMX("pavgb") MMX("psadbw") MMX("pshufb")
    MMX("phaddw") MMX("pmulhrsw") MMX("psignb") MMX("pabsd") MMX("pmuludq") MMX("paddq") MMX("pminub") MMX("pandn")
    IMM("shufps", "0x1b") IMM("shufpd", "2") IMM("pshufd", "0x93") IMM("pshufhw", "0x4e") IMM("pshuflw", "0xb1")
    IMM("palignr", "5") IMM("palignr", "19") IMM("cmpps", "5") IMM("cmppd", "3")
    for (int i = 0; i < COUNT; i++) {
        reg a = single(i), b = twice(i); uint32_t g;
        asm volatile("movmskps %1, %0" : "=r"(g) : "x"(a.f)); mix(g);
        asm volatile("movmskpd %1, %0" : "=r"(g) : "x"(b.d)); mix(g);
        asm volatile("pmovmskb %1, %0" : "=r"(g) : "x"(a.i)); mix(g);
        asm volatile("pextrw $5, %1, %0; pinsrw $2, %0, %2" : "=&r"(g), "+x"(a.i), "+x"(b.i)); mix(g); mix_reg(b);
        asm volatile("pslldq $3, %0; psrldq $6, %0; psllw $3, %0; psrad $2, %0; psrlq $70, %1" : "+x"(a.i), "+x"(b.i)); mix_reg(a); mix_reg(b);
        b = twice(i); reg c = single(i + 3);
        asm volatile("movddup %1, %0" : "=x"(a.i) : "x"(b.i)); mix_reg(a);
        asm volatile("movshdup %1, %0" : "=x"(a.i) : "x"(c.i)); mix_reg(a);
        asm volatile("movsldup %1, %0" : "=x"(a.i) : "x"(c.i)); mix_reg(a);
        asm volatile("movhlps %1, %0; movss %2, %0; movlps %3, %0" : "+x"(a.i) : "x"(b.i), "x"(c.i), "m"(b.q[1])); mix_reg(a);
        uint64_t m = 0; asm volatile("movhps %1, %0; movdq2q %1, %%mm1; movq %%mm1, %%mm2; emms" : "=m"(m) : "x"(c.i) : "mm1", "mm2"); mix(m); mix(m >> 32);
        uint8_t out[16]; memset(out, 9, 16); asm volatile("maskmovdqu %1, %0" : : "x"(b.i), "x"(c.i), "D"(out) : "memory"); for (int k = 0; k < 16; k++) mix(out[k]);
        asm volatile("lddqu %1, %0" : "=x"(a.i) : "m"(*(reg *)(b.b + 0))); mix_reg(a);
        int32_t n = words[i]; asm volatile("cvtsi2sd %1, %0; cvtsi2ss %1, %2" : "+x"(a.i), "+r"(n), "+x"(c.i)); mix_reg(a); mix_reg(c);
        uint64_t pair = quads[i]; asm volatile("movq %1, %%mm0; cvtpi2ps %%mm0, %0; cvtps2pi %0, %%mm1; movq %%mm1, %1; emms" : "+x"(a.i), "+m"(pair) : : "mm0", "mm1"); mix_reg(a); mix(pair); mix(pair >> 32);
        float rc = 0; asm volatile("rcpss %1, %0" : "=x"(rc) : "x"(3.0f + i)); memcpy(&g, &rc, 4); mix(g & 0xfff00000);
    }
    csr_reset(); show("moves");
    double total = 0; for (int i = 1; i < 10000; i++) total += 1.0 / i * (i & 1 ? 1 : -1); printf("%.17g %a\n", total, (double)(float)total);
    return 0;
}
