// Code that changes: its own block, the next insn, regenerated functions, aliases, RW <-> RX.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint32_t (*function)(uint32_t);
static uint8_t *page(int prot) { return mmap(0, 16384, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static uint8_t *emit(uint8_t *at, uint32_t constant) { // mov eax, constant; add eax, [esp+4]; ret
    *at++ = 0xb8; memcpy(at, &constant, 4); at += 4; memcpy(at, "\x03\x44\x24\x04\xc3", 5); return at + 5;
}
extern uint8_t patch_here[], patch_far[];
static void self(void) {
    long size = sysconf(_SC_PAGESIZE);
    mprotect((void *)((uintptr_t)patch_here & -size), 2 * size, 7);
    mprotect((void *)((uintptr_t)patch_far & -size), 2 * size, 7);
    uint32_t total = 0;
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t got;
        // the store changes the immediate of the very next insn, in the same block
        asm volatile("movb %b1, patch_here+1\n.globl patch_here\npatch_here: movl $0, %0" : "=a"(got) : "q"(i));
        total = total * 31 + got;
        // the store changes an insn some way ahead, past a branch
        asm volatile("movb %b1, patch_far+1\n testl %1, %1\n jz 1f\n incl %0\n 1: nop\n.globl patch_far\npatch_far: movl $0, %0" : "=a"(got) : "q"(i));
        total = total * 31 + got;
    }
    printf("self %08x\n", total);
}

int main(void) {
    uint32_t total = 0;
    uint8_t *code = page(7);
    for (uint32_t i = 0; i < 10000; i++) { emit(code, i * 7); total = total * 31 + ((function)code)(i); }
    printf("regenerated %08x\n", total);
    for (uint32_t i = 0; i < 2000; i++) { uint8_t *at = code + (i * 13) % 8000; emit(at, i); total = total * 31 + ((function)at)(i); }
    printf("moving %08x\n", total);
    uint8_t *edge = code + 4096 - 3; // the constant crosses into the next page
    for (uint32_t i = 0; i < 500; i++) { emit(edge, i << 8); total = total * 31 + ((function)edge)(1); memcpy(edge + 1, &i, 4); total += ((function)edge)(2); }
    printf("across %08x\n", total);
    uint8_t *strict = page(PROT_READ | PROT_WRITE);
    for (uint32_t i = 0; i < 300; i++) {
        mprotect(strict, 4096, PROT_READ | PROT_WRITE); emit(strict, i * 3);
        mprotect(strict, 4096, PROT_READ | PROT_EXEC); total = total * 31 + ((function)strict)(i);
    }
    printf("protected %08x\n", total);
    for (uint32_t i = 0; i < 100; i++) { // unmapped and mapped again at one address
        munmap(strict, 4096); strict = mmap(strict, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        emit(strict, i); total = total * 31 + ((function)strict)(i);
    }
    printf("remapped %08x\n", total);
    int fd = memfd_create("alias", 0);
    if (fd >= 0 && ftruncate(fd, 4096) == 0) { // two views of one page
        uint8_t *writing = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *running = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        for (uint32_t i = 0; i < 300; i++) { emit(writing, i * 5); total = total * 31 + ((function)running)(i); }
    }
    printf("aliased %08x\n", total);
    for (uint32_t i = 0; i < 300; i++) { // copied over by string insns and by a system call
        uint8_t image[16]; emit(image, i * 11); void *to = code + 64, *from = image; uint32_t n = 10;
        asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); total = total * 31 + ((function)(code + 64))(i);
        int p[2]; if (pipe(p) == 0) { emit(image, i * 17); if (write(p[1], image, 10) != 10 || read(p[0], code + 64, 10) != 10) return 1; close(p[0]); close(p[1]); }
        total = total * 31 + ((function)(code + 64))(i);
    }
    printf("copied %08x\n", total);
    // a function that overwrites its own tail while it runs: inc eax * 8 becomes dec eax
    static const uint8_t body[] = {0x8b, 0x4c, 0x24, 0x04, 0x31, 0xc0, 0x88, 0x41, 0x00, 0x40, 0x40, 0xc6, 0x01, 0x48, 0x90, 0x40, 0xc3};
    memcpy(code + 256, body, sizeof body); uint8_t *target = code + 256 + 15;
    for (int i = 0; i < 3; i++) { code[256 + 7] = 0x51; code[256 + 8] = 0x10; total = total * 31 + ((function)(code + 256))((uint32_t)target); code[256 + 15] = 0x40; }
    printf("tail %08x\n", total);
    self();
    // a data page next to code, written often: data in a code page must stay correct too
    volatile uint32_t *counter = (volatile uint32_t *)(code + 1024); *counter = 0; emit(code, 1);
    for (uint32_t i = 0; i < 5000; i++) { *counter += ((function)code)(i); }
    printf("mixed %08x %08x\n", *counter, total);
    return 0;
}
