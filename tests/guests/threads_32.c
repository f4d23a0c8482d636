// build: -pthread
/* Thirty-two threads on the same words: every locked insn, condition variables, barriers, spin locks. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 32, ROUNDS = 3000 };
static struct {
    uint64_t pair __attribute__((aligned(8)));
    unsigned added, exchanged, counted, bits[8], inc, sub, negated, lock;
    unsigned short half;
    unsigned char byte;
    uint8_t pad[64];
    uint64_t split; /* crosses a cache line */
} shared __attribute__((aligned(64)));
static unsigned plain, done, turn, produced, consumed, sum;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, recursive;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static sem_t sem;
static unsigned queue[16], head, tail, wrong;
static __thread unsigned own;

static void add64(uint64_t *p, uint64_t n)
{
    uint32_t low = *(volatile uint32_t *)p, high = ((volatile uint32_t *)p)[1];
    uint8_t ok;
    do {
        uint64_t next = (low | (uint64_t)high << 32) + n;
        __asm__ volatile("lock cmpxchg8b %0; setz %1" : "+m"(*p), "=q"(ok), "+a"(low), "+d"(high)
                         : "b"((uint32_t)next), "c"((uint32_t)(next >> 32)) : "cc");
    } while (!ok);
}

static void *locked(void *arg)
{
    unsigned me = (long)arg, tickets = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned one = 1, seen;
        add64(&shared.pair, 0x100000001ull);
        if (i % 16 == 0)
            add64((uint64_t *)((char *)&shared + 60 + 64 - (unsigned)&((typeof(shared) *)0)->pair), 3);
        __asm__ volatile("lock xaddl %1,%0" : "+m"(shared.added), "+r"(one) : : "cc");
        tickets += one & 1;
        do {
            seen = shared.exchanged;
            __asm__ volatile("lock cmpxchgl %2,%0" : "+m"(shared.exchanged), "=a"(one) : "r"(seen + 5), "1"(seen) : "cc");
        } while (one != seen);
        __asm__ volatile("lock incl %0" : "+m"(shared.inc) : : "cc");
        __asm__ volatile("lock subl $2,%0" : "+m"(shared.sub) : : "cc");
        __asm__ volatile("lock addw $3,%0" : "+m"(shared.half) : : "cc");
        __asm__ volatile("lock addb $1,%0" : "+m"(shared.byte) : : "cc");
        __asm__ volatile("lock notl %0" : "+m"(shared.negated) : : "cc");
        __asm__ volatile("lock btcl %1,%0" : "+m"(shared.bits[0]) : "r"(me * 8 + i % 8) : "cc", "memory");
        while (1) { /* a lock of one xchg */
            unsigned taken = 1;
            __asm__ volatile("xchgl %0,%1" : "+r"(taken), "+m"(shared.lock) : : "memory");
            if (!taken)
                break;
            sched_yield();
        }
        plain++;
        own++;
        __asm__ volatile("movl $0,%0" : "=m"(shared.lock) : : "memory");
    }
    return (void *)(long)own;
}

static void *conditions(void *arg)
{
    unsigned me = (long)arg;
    for (unsigned i = 0; i < 40; i++) { /* strictly in turn */
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != me)
            pthread_cond_wait(&cond, &mutex);
        turn++;
        sum = sum * 31 + me;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
    }
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        if (me & 1) {
            while (head - tail == 16)
                pthread_cond_wait(&emptied, &mutex);
            queue[head++ % 16] = me * 1000 + i;
            produced += me * 1000 + i;
            pthread_cond_signal(&filled);
        } else {
            while (head == tail)
                pthread_cond_wait(&filled, &mutex);
            consumed += queue[tail++ % 16];
            pthread_cond_signal(&emptied);
        }
        pthread_mutex_unlock(&mutex);
    }
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < 100; i++) {
        sem_wait(&sem);
        pthread_rwlock_rdlock(&rwlock);
        unsigned a = done;
        pthread_rwlock_unlock(&rwlock);
        pthread_rwlock_wrlock(&rwlock);
        if (done < a)
            wrong++;
        done++;
        pthread_rwlock_unlock(&rwlock);
        pthread_spin_lock(&spin);
        plain++;
        pthread_spin_unlock(&spin);
        pthread_mutex_lock(&recursive);
        pthread_mutex_lock(&recursive);
        turn++;
        pthread_mutex_unlock(&recursive);
        pthread_mutex_unlock(&recursive);
        sem_post(&sem);
    }
    return NULL;
}

static unsigned run(void *(*routine)(void *))
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;
    unsigned total = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 131072);
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], &attr, routine, (void *)i))
            exit(9);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        total += (long)result;
    }
    return total;
}

static void *short_lived(void *arg) { return (void *)((long)arg * 3 + ++own); }

int main(void)
{
    pthread_mutexattr_t attr;
    setbuf(stdout, NULL);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&recursive, &attr);
    pthread_barrier_init(&barrier, NULL, THREADS);
    pthread_spin_init(&spin, 0);
    sem_init(&sem, 0, 5);
    printf("own %u\n", run(locked));
    printf("pair %llx added %u exchanged %u inc %u sub %u half %u byte %u negated %x plain %u\n",
           (unsigned long long)shared.pair, shared.added, shared.exchanged, shared.inc, shared.sub,
           shared.half, shared.byte, shared.negated, plain);
    for (int i = 0; i < 8; i++)
        printf("%08x ", shared.bits[i]);
    puts("");
    run(conditions);
    printf("turns %u sum %x queue %d done %u plain %u wrong %u\n", turn, sum, produced == consumed, done, plain, wrong);
    unsigned total = 0;
    for (int i = 0; i < 20; i++)
        total += run(short_lived);
    printf("short-lived %u\n", total);
    return 0;
}
