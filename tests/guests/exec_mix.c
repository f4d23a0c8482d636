/* vfork, posix_spawn, clone and execve in their combinations; descriptors, signals, environment. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char self[4096];
static volatile int caught;

static void handler(int signo) { caught = signo; }

static void show(const char *name, pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        status = -errno;
    printf("%s: %x\n", name, status);
}

static int second(int argc, char **argv)
{
    sigset_t set;
    struct sigaction action;
    sigprocmask(0, NULL, &set);
    sigaction(SIGUSR1, NULL, &action);
    printf("  second %s: args %d env %s usr1 blocked %d handler %s", argv[1], argc, getenv("WHO") ? getenv("WHO") : "none",
           sigismember(&set, SIGUSR1), action.sa_handler == SIG_DFL ? "default" : action.sa_handler == SIG_IGN ? "ignored" : "?");
    sigpending(&set);
    printf(" pending %d fds", sigismember(&set, SIGUSR1));
    for (int fd = 3; fd < 12; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    puts("");
    return strcmp(argv[1], "kill") ? 40 + argc : raise(SIGKILL);
}

static void *execute(void *name)
{
    execl(self, self, name, "from a thread", NULL);
    return NULL;
}

static void *sleeper(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *vfork_often(void *number)
{
    long sum = 0;
    for (int i = 0; i < 5; i++) {
        int status;
        pid_t pid = vfork();
        if (!pid)
            _exit((long)number + i);
        waitpid(pid, &status, 0);
        sum += WEXITSTATUS(status);
    }
    return (void *)sum;
}

static int in_clone(void *arg)
{
    execl(self, self, (char *)arg, NULL);
    return 77;
}

int main(int argc, char **argv)
{
    char *environment[] = {"WHO=given", NULL}, *arguments[] = {self, "spawned", "x", NULL};
    pid_t pid;
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    setbuf(stdout, NULL);
    if (argc > 1)
        return second(argc, argv);
    unsetenv("WHO");
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    int keep = open("/dev/null", O_RDONLY), drop = open("/dev/null", O_RDONLY | O_CLOEXEC);
    printf("fds %d %d\n", keep, drop);

    pid = vfork();
    if (!pid) {
        execl(self, self, "vfork", "a", NULL);
        _exit(1);
    }
    show("vfork and execl", pid);
    pid = vfork();
    if (!pid) {
        execl("/no/such/program", "x", NULL);
        _exit(errno);
    }
    show("vfork and a failed execl", pid);
    pid = vfork();
    if (!pid) {
        close(keep);
        _exit(5);
    }
    show("vfork and _exit", pid);
    printf("still open %d\n", fcntl(keep, F_GETFD) >= 0);

    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    pid = fork();
    if (!pid) {
        raise(SIGUSR1);
        execve(self, arguments, environment);
        _exit(1);
    }
    show("blocked and pending", pid);
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_init(&attr);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 1, 9);
    posix_spawn_file_actions_addclose(&actions, keep);
    int spawned = posix_spawn(&pid, self, &actions, &attr, arguments, environment);
    show("spawned", pid);
    printf("spawn %d\n", spawned);
    printf("spawn of nothing %d\n", posix_spawn(&pid, "/no/such", NULL, NULL, arguments, environment));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("caught %d\n", caught == SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    pid = fork();
    if (!pid)
        execl(self, self, "kill", NULL);
    show("ignored, killed", pid);

    static char stack[65536];
    pid = clone(in_clone, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "clone");
    show("clone like vfork", pid);
    pid = fork();
    if (!pid) {
        pthread_t threads[4];
        for (int i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, sleeper, NULL);
        pthread_create(&threads[3], NULL, execute, "thread");
        pthread_join(threads[3], NULL);
        _exit(1);
    }
    show("execve from a thread", pid);
    pthread_t threads[6];
    long sum = 0;
    for (long i = 0; i < 6; i++)
        pthread_create(&threads[i], NULL, vfork_often, (void *)i);
    for (int i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        sum += (long)result;
    }
    printf("vfork in threads %ld\n", sum);
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    pid = fork();
    if (!pid) {
        char *args[] = {"any name", "fexecve", NULL};
        fexecve(fd, args, environment);
        _exit(errno);
    }
    show("fexecve", pid);
    pid = fork();
    if (!pid) {
        execve("/", arguments, environment);
        printf("directory: %s\n", strerror(errno));
        execve("", arguments, environment);
        printf("empty: %s\n", strerror(errno));
        execve((char *)16, arguments, environment);
        printf("bad address: %s\n", strerror(errno));
        execve(self, (char **)16, environment);
        printf("bad arguments: %s\n", strerror(errno));
        static char longest[3 << 20];
        memset(longest, 'x', sizeof longest - 1);
        char *many[] = {self, longest, NULL};
        execve(self, many, environment);
        printf("too long: %s\n", strerror(errno));
        int text = open("script", O_CREAT | O_WRONLY, 0755);
        dprintf(text, "#!%s interpreted by\n", self);
        close(text);
        char *script[] = {"script", "one", "two", NULL};
        execve("script", script, environment);
        _exit(1);
    }
    show("script", pid);
    unlink("script");
    return 0;
}
