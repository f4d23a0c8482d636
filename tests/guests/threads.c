/* Threads: creation, joining, locks, thread-local data, signals to threads, cancellation, robust locks. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static sem_t sem;
static __thread int mine = 5;
static int total, turn, atomic_total, serial, order[WORKERS];
static pthread_key_t key;
static int destroyed;
static volatile int started, handled_by;

static void destructor(void *p)
{
    __atomic_add_fetch(&destroyed, (int)p, __ATOMIC_SEQ_CST);
}

static void *worker(void *p)
{
    int me = (int)p;
    pthread_setspecific(key, (void *)(me + 1));
    mine += me;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&lock);
        total++;
        pthread_mutex_unlock(&lock);
        __atomic_add_fetch(&atomic_total, 1, __ATOMIC_SEQ_CST);
    }
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&lock);
    while (turn != me)
        pthread_cond_wait(&changed, &lock);
    order[turn++] = mine;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_rwlock_rdlock(&rw);
    sched_yield();
    pthread_rwlock_unlock(&rw);
    sem_post(&sem);
    return (void *)(me * me);
}

static void handler(int signo)
{
    (void)signo;
    handled_by = syscall(SYS_gettid);
}

static void *sleeper(void *p)
{
    started = syscall(SYS_gettid);
    int *result = p;
    sigset_t set;
    sigemptyset(&set);
    *result = pause();
    *result = *result < 0 && errno == EINTR;
    return NULL;
}

static void cleanup(void *p)
{
    *(int *)p += 100;
}

static void *endless(void *p)
{
    pthread_cleanup_push(cleanup, p);
    started = 1;
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return NULL;
}

static pthread_mutex_t robust;

static void *dies_with_lock(void *p)
{
    (void)p;
    pthread_mutex_lock(&robust);
    return NULL;
}

static void *blocked_mask(void *p)
{
    sigset_t set;
    int signo = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    started = 1;
    sigwait(&set, &signo);
    *(int *)p = signo;
    return NULL;
}

static void *detached(void *p)
{
    sem_post(p);
    return NULL;
}

int main(void)
{
    pthread_t t[WORKERS], one;
    void *result;
    int value = 0;
    struct timespec until;
    pthread_mutexattr_t attr;
    pthread_attr_t big;

    pthread_key_create(&key, destructor);
    pthread_barrier_init(&barrier, NULL, WORKERS);
    sem_init(&sem, 0, 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&t[i], NULL, worker, (void *)i);
    for (int i = 0; i < WORKERS; i++)
        sem_wait(&sem);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(t[i], &result);
        printf("joined %d: %d order %d\n", i, (int)result, order[i]);
    }
    printf("total %d %d serial %d mine %d destroyed %d\n", total, atomic_total, serial, mine, destroyed);

    signal(SIGUSR1, handler);
    started = 0;
    pthread_create(&one, NULL, sleeper, &value);
    while (!started)
        sched_yield();
    usleep(20000);
    pthread_kill(one, SIGUSR1);
    pthread_join(one, NULL);
    printf("signalled: eintr %d by it %d\n", value, handled_by == started);

    value = 0;
    started = 0;
    pthread_create(&one, NULL, endless, &value);
    while (!started)
        sched_yield();
    pthread_cancel(one);
    pthread_join(one, &result);
    printf("cancelled %d cleanup %d\n", result == PTHREAD_CANCELED, value);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_create(&one, NULL, dies_with_lock, NULL);
    pthread_join(one, NULL);
    printf("owner dead %d", pthread_mutex_lock(&robust) == EOWNERDEAD);
    printf(" consistent %d\n", pthread_mutex_consistent(&robust));
    pthread_mutex_unlock(&robust);

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_mutex_lock(&lock);
    printf("timed wait %d\n", pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&robust, &attr);
    printf("pi lock %d", pthread_mutex_lock(&robust));
    printf(" unlock %d\n", pthread_mutex_unlock(&robust));

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    value = started = 0;
    pthread_create(&one, NULL, blocked_mask, &value);
    while (!started)
        sched_yield();
    kill(getpid(), SIGUSR2);
    pthread_join(one, NULL);
    printf("sigwait %d\n", value == SIGUSR2);

    pthread_attr_init(&big);
    pthread_attr_setdetachstate(&big, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&big, 1 << 20);
    pthread_create(&one, &big, detached, &sem);
    sem_wait(&sem);
    printf("detached; main is its own thread %d\n", getpid() == syscall(SYS_gettid));
    return 0;
}
