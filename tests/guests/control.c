// Control flow as compilers make it: jump tables, recursion, longjmp, computed goto, calls by pointer.
// build: -fno-stack-protector -Wno-clobbered
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf out;
static int big(int n) {
    switch (n) {
    case 0: return 7; case 1: return 3; case 2: return 9; case 3: return -1; case 4: return 44; case 5: return 5;
    case 6: return 61; case 7: return 72; case 8: return 80; case 9: return 19; case 10: return 2; case 11: return 8;
    case 100: return 1; case 1000: return 2; case 10000: return 3; case -5: return 4; default: return n * 2;
    }
}
static int ackermann(int m, int n) { return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1)); }
static void dive(int depth) { volatile char pad[300]; pad[0] = depth; if (depth == 0) longjmp(out, 42); dive(depth - 1); pad[1] = pad[0]; }
static int total(int n, ...) { va_list v; int s = 0; va_start(v, n); while (n--) s += va_arg(v, int); va_end(v); return s; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int deep(int n) { char pad[1000]; memset(pad, n, sizeof pad); return n ? pad[500] + deep(n - 1) : 0; }
typedef int (*op)(int, int);
static int f0(int a, int b) { return a + b; } static int f1(int a, int b) { return a * b; } static int f2(int a, int b) { return a ^ b; }
static int f3(int a, int b) { return a - b * 2; }
__attribute__((regparm(3))) static int fast(int a, int b, int c) { return a * b - c; }
__attribute__((stdcall, noinline)) static int callee(int a, int b) { return a * 100 + b; }

static int interpret(const uint8_t *code) {
    static void *const labels[] = {&&push, &&add, &&mul, &&dup, &&jnz, &&dec, &&end, &&swap};
    int stack[32], sp = 0;
#define NEXT goto *labels[*code++]
    NEXT;
push: stack[sp++] = *code++; NEXT;
add: sp--; stack[sp - 1] += stack[sp]; NEXT;
mul: sp--; stack[sp - 1] *= stack[sp]; NEXT;
dup: stack[sp] = stack[sp - 1]; sp++; NEXT;
jnz: if (stack[sp - 1]) code -= *code; else code++; NEXT;
dec: stack[sp - 1]--; NEXT;
swap: { int t = stack[sp - 1]; stack[sp - 1] = stack[sp - 2]; stack[sp - 2] = t; } NEXT;
end: return stack[0] * 1000 + sp;
}

int main(int argc, char **argv) {
    for (int i = -6; i < 14; i++) printf("%d ", big(i));
    printf("%d %d %d\n", big(100), big(1000), big(10000));
    printf("%d %d\n", ackermann(2, 9), deep(3000));
    for (int i = 0; i < 3; i++) { int r = setjmp(out); if (r == 0) dive(50 + i); printf("jumped %d\n", r); }
    printf("%d %d %d\n", total(3, 1, 2, 3), fast(3, 4, 5), callee(7, 8));
    int data[500]; uint32_t x = 12345; for (int i = 0; i < 500; i++) { x = x * 1103515245 + 12345; data[i] = x >> 8 & 0xffff; }
    qsort(data, 500, sizeof *data, compare); printf("%d %d %d\n", data[0], data[250], data[499]);
    op ops[] = {f0, f1, f2, f3}; int acc = 1; for (int i = 0; i < 2000; i++) acc = ops[x >> (i % 20) & 3](acc, i); printf("%d\n", acc);
    static const uint8_t program[] = {0, 1, 0, 10, 7, 3, 1, 7, 5, 4, 6, 6}; printf("%d\n", interpret(program));
    uint64_t a = 0x123456789abcdef0ull, b = 0xfedcba987; printf("%llx %llx %llx %lld %lld\n", (unsigned long long)(a * b), (unsigned long long)(a / b), (unsigned long long)(a % b), (long long)-(int64_t)a / 1000003, (long long)(-(int64_t)a % 1000003));
    printf("%llx %llx %llx\n", (unsigned long long)(a << 37), (unsigned long long)(a >> 21), (unsigned long long)((int64_t)(a << 3) >> 40));
    char *args = argv[argc]; printf("%d %d %s\n", argc, args == NULL, strrchr(argv[0], '/') ? "path" : "name");
    int frame = 0; asm volatile("pushl %%ebp; movl %%esp, %%eax; enter $16, $0; enter $8, $2; movl -4(%%ebp), %%ecx; leave; leave; sub %%esp, %%eax; popl %%ebp; mov %%eax, %0" : "=m"(frame) : : "eax", "ecx", "memory");
    printf("enter %d\n", frame);
    uint32_t regs[8]; asm volatile("movl $1,%%eax; pushal; popal; pushal; movl %%esp,%%esi; movl %0,%%edi; movl $8,%%ecx; rep movsl; addl $32,%%esp" : : "r"(regs) : "eax", "ecx", "esi", "edi", "memory");
    printf("pusha %u\n", regs[7]);
    int loops = 0; asm volatile("movl $5,%%ecx; 1: incl %0; loop 1b; movl $9,%%ecx; 2: incl %0; cmpl $8,%0; loopne 2b; jecxz 3f; addl $100,%0; 3:" : "+r"(loops) : : "ecx", "cc"); printf("loops %d\n", loops);
    uint32_t carry; asm volatile("stc; .byte 0xd6; movzbl %%al,%0; cmc; sbbl $0,%0" : "=a"(carry) : : "cc"); printf("salc %x\n", carry);
    exit(acc & 0x7f);
}
