// Dies in the way its argument says.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int dive(volatile char *above) { volatile char pad[4096]; pad[0] = *above; return dive(pad) + pad[1]; }
int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    struct rlimit no_core = {0, 0}; setrlimit(RLIMIT_CORE, &no_core);
    printf("before\n"); fflush(stdout);
    if (!strcmp(how, "null")) *(volatile int *)0 = 1;
    if (!strcmp(how, "read")) return *(volatile int *)0xdeadbeec;
    if (!strcmp(how, "top")) return *(volatile int *)0xfffffffeu;
    if (!strcmp(how, "write-code")) *(volatile char *)main = 1;
    if (!strcmp(how, "jump-null")) ((void (*)(void))0)();
    if (!strcmp(how, "jump-data")) { static char data[4096]; ((void (*)(void))data)(); }
    if (!strcmp(how, "jump-top")) ((void (*)(void))0xffffffffu)();
    if (!strcmp(how, "ud2")) __builtin_trap();
    if (!strcmp(how, "divide")) asm volatile("xorl %%ecx,%%ecx; movl $1,%%eax; cltd; idivl %%ecx" : : : "eax", "ecx", "edx");
    if (!strcmp(how, "privileged")) asm volatile("hlt");
    if (!strcmp(how, "int3")) asm volatile("int3");
    if (!strcmp(how, "int")) asm volatile("int $0x42");
    if (!strcmp(how, "bound")) { int limits[2] = {0, 3}; asm volatile("bound %0, %1" : : "r"(9), "m"(limits)); }
    if (!strcmp(how, "into")) asm volatile("movb $127, %%al; addb $1, %%al; into" : : : "eax");
    if (!strcmp(how, "x87")) { uint16_t cw = 0x37b; asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(cw)); }
    if (!strcmp(how, "sse")) { uint32_t csr = 0x1d80; asm volatile("ldmxcsr %0; xorps %%xmm0,%%xmm0; movl $1,%%eax; cvtsi2ss %%eax,%%xmm1; divss %%xmm0,%%xmm1" : : "m"(csr) : "eax"); }
    if (!strcmp(how, "align")) asm volatile("movaps (%0), %%xmm0" : : "r"(argv[0] + !((uintptr_t)argv[0] & 1) * 1));
    if (!strcmp(how, "stack")) { volatile char start = 1; return dive(&start); }
    if (!strcmp(how, "no-stack")) asm volatile("movl $16, %esp; pushl %eax");
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "kill")) raise(SIGKILL);
    if (!strcmp(how, "unmap-self")) { munmap((void *)((uintptr_t)main & ~4095u), 4096); return 1; }
    return 99;
}
