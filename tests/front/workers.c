// build: -lpthread
// Threads that count for ever, or a fork bomb's beginning: limits must hold for all of them.
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static volatile unsigned counters[4];

static void *count(void *argument) {
    for (;;) counters[(long)argument]++;
}

int main(int argc, char **argv) {
    pthread_t thread;
    puts("start");
    fflush(stdout);
    if (argc > 1) {
        fork();
        for (;;) counters[0]++;
    }
    for (long i = 0; i < 3; i++) pthread_create(&thread, 0, count, (void *)i);
    count((void *)3);
}
