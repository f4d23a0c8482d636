/* Ends of threaded processes: pthread_exit in main, exit with blocked threads, fork and exec in threads. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int pipe_ends[2];

static void *reader(void *p)
{
    char c;
    (void)p;
    read(pipe_ends[0], &c, 1); /* nobody writes */
    return NULL;
}

static void *spinner(void *p)
{
    volatile unsigned n = 0;
    (void)p;
    for (;;)
        n++;
    return NULL;
}

static void *exits(void *p)
{
    usleep(20000);
    exit((int)p);
}

static void *last(void *p)
{
    (void)p;
    usleep(20000);
    printf("the last thread\n");
    fflush(stdout);
    return NULL;
}

static void *execs(void *p)
{
    usleep(20000);
    execl(p, p, "again", NULL);
    _exit(99);
}

static void *forks(void *p)
{
    pid_t child = fork();
    if (child == 0)
        _exit(getpid() == syscall(SYS_gettid) ? 21 : 22);
    int status;
    waitpid(child, &status, 0);
    *(int *)p = WEXITSTATUS(status);
    return NULL;
}

static void *forks_and_runs(void *p)
{
    pid_t child = fork();
    if (child == 0) { /* the child makes threads of its own */
        pthread_t t;
        int value = 0;
        pthread_create(&t, NULL, forks, &value);
        pthread_join(t, NULL);
        exit(value + 10);
    }
    int status;
    waitpid(child, &status, 0);
    *(int *)p = WEXITSTATUS(status);
    return NULL;
}

static void *kills(void *p)
{
    (void)p;
    usleep(20000);
    kill(getpid(), SIGTERM);
    pause();
    return NULL;
}

static void scenario(int which, const char *self)
{
    pthread_t t;
    switch (which) {
    case 0: /* exit while others are blocked or busy */
        pthread_create(&t, NULL, reader, NULL);
        pthread_create(&t, NULL, spinner, NULL);
        pthread_create(&t, NULL, exits, (void *)31);
        for (;;)
            pause();
    case 1: /* main leaves first; the status is that of the process */
        pthread_create(&t, NULL, last, NULL);
        pthread_exit(NULL);
    case 2: /* exec from a thread, with others running */
        pthread_create(&t, NULL, reader, NULL);
        pthread_create(&t, NULL, spinner, NULL);
        pthread_create(&t, NULL, execs, (void *)self);
        pthread_join(t, NULL);
        exit(1);
    case 3: /* main is gone when another thread calls exec */
        pthread_create(&t, NULL, execs, (void *)self);
        pthread_exit(NULL);
    case 4: { /* fork in a thread */
        int value = 0;
        pthread_create(&t, NULL, forks, &value);
        pthread_join(t, NULL);
        exit(value);
    }
    case 5: {
        int value = 0;
        pthread_create(&t, NULL, forks_and_runs, &value);
        pthread_join(t, NULL);
        exit(value);
    }
    case 6: /* a fatal signal ends all threads */
        pthread_create(&t, NULL, spinner, NULL);
        pthread_create(&t, NULL, kills, NULL);
        for (;;)
            pause();
    }
}

int main(int argc, char **argv)
{
    pipe(pipe_ends);
    if (argc > 1 && !strcmp(argv[1], "again")) {
        printf("after exec: %d\n", getpid() == syscall(SYS_gettid));
        return 41;
    }
    for (int i = 0; i < 7; i++) {
        int status;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            scenario(i, argv[0]);
        waitpid(child, &status, 0);
        if (WIFEXITED(status))
            printf("%d: exit %d\n", i, WEXITSTATUS(status));
        else
            printf("%d: signal %d\n", i, WTERMSIG(status));
    }
    return 0;
}
