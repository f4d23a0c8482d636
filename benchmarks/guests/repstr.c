/* Integer, strings: rep movs, rep stos, repne scas and repe cmps, from short to long. A step is a
 * round over all lengths. */
#define STEPS 165000
#include "bench.h"

static char a[1 << 16], b[1 << 16];
static unsigned hash = 1;

static void setup(void)
{
    for (unsigned i = 0; i < sizeof a; i++)
        a[i] = 'a' + i % 23;
}

static void move(void *to, const void *from, unsigned words)
{
    __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void move_bytes(void *to, const void *from, unsigned bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void fill(void *to, unsigned value, unsigned words)
{
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(words) : "a"(value) : "memory");
}

static unsigned find(const void *in, unsigned char value, unsigned bytes)
{
    __asm__ volatile("repne scasb" : "+D"(in), "+c"(bytes) : "a"(value) : "memory", "cc");
    return bytes;
}

static unsigned compare(const void *left, const void *right, unsigned bytes)
{
    __asm__ volatile("repe cmpsb" : "+D"(left), "+S"(right), "+c"(bytes) : : "memory", "cc");
    return bytes;
}

static void run(unsigned steps)
{
    while (steps--) {
        for (unsigned size = 16; size <= 4096; size *= 4)
            for (unsigned from = 0; from + size <= sizeof a; from += 8192) {
                move(b + from, a + from, size / 4);
                b[from + size / 2] ^= hash & 1;
                hash = hash * 31 + compare(a + from, b + from, size / 4);
                hash += find(a + from, '!', size / 4);
                fill(b + from, hash, size / 8);
                move_bytes(b + from, a + from + 1, size / 2);
            }
        move(b, a, sizeof a / 4);
        fill(a, 'a' + hash % 20, 4);
    }
}

static void result(void)
{
    printf("%u\n", hash);
}
