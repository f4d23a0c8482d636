/* fork and execve among threads: forks at the same time, execve beside waiting and busy threads. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[4096];
static volatile int stop;

static void *spin(void *unused)
{
    volatile long n = 0;
    (void)unused;
    while (!stop)
        n++;
    return NULL;
}

static void *execute(void *unused)
{
    (void)unused;
    usleep(20000);
    execl(self, self, "7", NULL);
    return NULL;
}

static void *fork_often(void *number)
{
    long sum = 0;
    for (int i = 0; i < 4; i++) {
        int status;
        pid_t pid = fork();
        if (!pid) {
            free(memset(malloc(1000), 1, 1000));
            _exit(i + (long)number);
        }
        if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
            sum += WEXITSTATUS(status);
    }
    return (void *)sum;
}

static void show(const char *name, pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    printf("%s: %x\n", name, status);
    fflush(stdout);
}

/* The leader waits in some way while another thread executes a program. */
static void leader(const char *name, void (*wait)(void))
{
    pid_t pid = fork();
    if (!pid) {
        pthread_t thread;
        alarm(280);
        pthread_create(&thread, NULL, spin, NULL);
        pthread_create(&thread, NULL, execute, NULL);
        wait();
        _exit(90);
    }
    show(name, pid);
}

static void in_pause(void) { pause(); }
static void in_read(void)
{
    char byte;
    int ends[2];
    pipe(ends);
    read(ends[0], &byte, 1);
}
static void in_suspend(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
}
static void in_sigwait(void)
{
    sigset_t set;
    int signo;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigwait(&set, &signo);
}
static void in_sleep(void) { sleep(50); }
static void gone(void) { pthread_exit(NULL); }

static void script(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    fputs(text, file);
    fclose(file);
    chmod(name, 0755);
}

static void run(const char *name)
{
    pid_t pid = fork();
    if (!pid) {
        execl(name, "script", NULL);
        _exit(errno == ENOEXEC ? 91 : 92);
    }
    show(name, pid);
}

int main(int argc, char **argv)
{
    char text[4200];
    pthread_t threads[3], busy;
    long total = 0;
    if (argc > 1)
        return atoi(argv[1]);
    readlink("/proc/self/exe", self, sizeof self - 1);
    pthread_create(&busy, NULL, spin, NULL);
    for (long i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, fork_often, (void *)i);
    for (int i = 0; i < 3; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        total += (long)sum;
    }
    stop = 1;
    pthread_join(busy, NULL);
    stop = 0;
    printf("forks: %ld\n", total);
    fflush(stdout);
    leader("pause", in_pause);
    leader("read", in_read);
    leader("sigsuspend", in_suspend);
    leader("sigwait", in_sigwait);
    leader("sleep", in_sleep);
    leader("gone", gone);
    snprintf(text, sizeof text, "#!%s 3\n", self);
    script("./script", text);
    script("./nested", "#!./script x y\n");
    script("./plain", "echo\n");
    run("./script");
    run("./nested");
    run("./plain");
    unlink("script");
    unlink("nested");
    unlink("plain");
    return 0;
}
