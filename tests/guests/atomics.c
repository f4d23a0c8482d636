// Threads hammer shared words with every locked insn; a store buffer test; a seqlock; a spin lock.
// build: -pthread
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum { THREADS = 4, ROUNDS = 20000 };
static uint32_t adds, incs, xadds, cas, exchanged, bits[4], subs;
static uint16_t small; static uint8_t tiny;
static uint64_t wide; static uint32_t lock_word, guarded, sequence, pair[2], torn, ors, ands = ~0u, xors;
static pthread_barrier_t barrier;
static __thread uint32_t mine;

static void *work(void *argument) {
    uint32_t n = (uint32_t)(uintptr_t)argument;
    pthread_barrier_wait(&barrier);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        asm volatile("lock addl $3, %0; lock incl %1; lock subl $2, %2" : "+m"(adds), "+m"(incs), "+m"(subs) : : "cc");
        uint32_t one = 1; asm volatile("lock xaddl %0, %1" : "+r"(one), "+m"(xadds) : : "cc"); mine += one & 1;
        asm volatile("lock incw %0; lock decb %1" : "+m"(small), "+m"(tiny) : : "cc");
        uint32_t old = __atomic_load_n(&cas, __ATOMIC_RELAXED); while (!__atomic_compare_exchange_n(&cas, &old, old + n + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {}
        uint64_t now = __atomic_load_n(&wide, __ATOMIC_RELAXED); while (!__atomic_compare_exchange_n(&wide, &now, now + 0x100000001ull, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {}
        uint32_t swap = n; asm volatile("xchgl %0, %1" : "+r"(swap), "+m"(exchanged));
        asm volatile("lock btsl %1, %0; lock orl %2, %3; lock xorl %2, %4" : "+m"(bits[0]) : "r"((i + n) & 31), "r"(1u << n), "m"(ors), "m"(xors) : "cc", "memory");
        asm volatile("lock andl %1, %0" : "+m"(ands) : "r"(~(1u << (n + 8))) : "cc");
        while (__atomic_exchange_n(&lock_word, 1, __ATOMIC_ACQUIRE)) asm volatile("pause");
        guarded = guarded * 1 + 1; __atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
        if (n == 0) { __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST); pair[0] = i; pair[1] = ~i; __atomic_add_fetch(&sequence, 1, __ATOMIC_SEQ_CST); }
        else { uint32_t s = __atomic_load_n(&sequence, __ATOMIC_ACQUIRE), a = *(volatile uint32_t *)&pair[0], b = *(volatile uint32_t *)&pair[1]; __atomic_thread_fence(__ATOMIC_ACQUIRE); if (!(s & 1) && s == __atomic_load_n(&sequence, __ATOMIC_ACQUIRE) && s && a != ~b) torn++; }
    }
    return (void *)(uintptr_t)(mine <= ROUNDS);
}
static volatile uint32_t x, y; static uint32_t r1, r2; static uint32_t forbidden;
static void *left(void *none) { for (int i = 0; i < 300; i++) { pthread_barrier_wait(&barrier); x = 1; asm volatile("mfence" : : : "memory"); r1 = y; pthread_barrier_wait(&barrier); pthread_barrier_wait(&barrier); } return none; }
static void *right(void *none) { for (int i = 0; i < 300; i++) { pthread_barrier_wait(&barrier); y = 1; asm volatile("lock orl $0, (%%esp)" : : : "memory", "cc"); r2 = x; pthread_barrier_wait(&barrier); if (!r1 && !r2) forbidden++; x = y = 0; pthread_barrier_wait(&barrier); } return none; }

int main(void) {
    pthread_t threads[THREADS]; uintptr_t good = 0;
    pthread_barrier_init(&barrier, 0, THREADS);
    for (uintptr_t n = 0; n < THREADS; n++) pthread_create(&threads[n], 0, work, (void *)n);
    for (int n = 0; n < THREADS; n++) { void *result; pthread_join(threads[n], &result); good += (uintptr_t)result; }
    printf("%u %u %u %u %u %llx %u %u\n", adds, incs, subs, xadds, cas, (unsigned long long)wide, small, tiny);
    printf("%x %x %x %x %u %u %u good %u exchanged %d mine %u\n", bits[0], ors, ands, xors, guarded, torn, pair[0] ^ ~pair[1], (unsigned)good, exchanged < THREADS, mine);
    pthread_barrier_init(&barrier, 0, 2);
    pthread_create(&threads[0], 0, left, 0); pthread_create(&threads[1], 0, right, 0); pthread_join(threads[0], 0); pthread_join(threads[1], 0);
    printf("forbidden %u\n", forbidden);
    return 0;
}
