/* Integer, carries: schoolbook multiplication and addition of 2048-bit numbers, by C's 64-bit
 * products and by adc chains in assembly. A step multiplies and adds a thousand times. */
#define STEPS 620
#include "bench.h"

enum { LIMBS = 64 };
static uint32_t x[LIMBS], y[LIMBS], product[2 * LIMBS];

static void setup(void)
{
    for (int i = 0; i < LIMBS; i++)
        x[i] = next_random() << 8 | (next_random() & 255), y[i] = next_random() * 257;
}

/* to += from * factor; returns the carry out */
static uint32_t multiply_add(uint32_t *to, const uint32_t *from, uint32_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)from[i] * factor + to[i];
        to[i] = carry;
        carry >>= 32;
    }
    return carry;
}

/* to += from, four limbs an iteration */
static unsigned add(uint32_t *to, const uint32_t *from, unsigned quads)
{
    unsigned carry, limb;
    __asm__ volatile(
        "clc\n"
        "1: movl (%[from]), %[limb]\n\tadcl %[limb], (%[to])\n\t"
        "movl 4(%[from]), %[limb]\n\tadcl %[limb], 4(%[to])\n\t"
        "movl 8(%[from]), %[limb]\n\tadcl %[limb], 8(%[to])\n\t"
        "movl 12(%[from]), %[limb]\n\tadcl %[limb], 12(%[to])\n\t"
        "leal 16(%[from]), %[from]\n\tleal 16(%[to]), %[to]\n\t"
        "decl %[quads]\n\tjnz 1b\n\t"
        "sbbl %[carry], %[carry]\n"
        : [to] "+r"(to), [from] "+r"(from), [quads] "+r"(quads), [limb] "=&r"(limb),
          [carry] "=&r"(carry)
        : : "memory", "cc");
    return carry;
}

static void run(unsigned steps)
{
    for (unsigned n = steps * 1000; n; n--) {
        memset(product, 0, sizeof product);
        if (n & 3) {
            for (int i = 0; i < 32; i++)
                x[n & (LIMBS - 1)] += add(x, y, LIMBS / 4);
        } else {
            for (int i = 0; i < LIMBS; i++)
                product[i + LIMBS] = multiply_add(product + i, x, y[i]);
            memcpy(y, product + n % LIMBS, sizeof y);
        }
        y[0] |= 1;
    }
}

static void result(void)
{
    uint32_t hash = 0;
    for (int i = 0; i < LIMBS; i++)
        hash = hash * 31 + x[i] + y[i] * 7;
    printf("%u\n", hash);
}
