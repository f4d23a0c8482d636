/* fork, vfork, posix_spawn, execve and every way to wait; ends by status and by signal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile int children, shared = 1;

static void on_child(int signo, siginfo_t *si, void *context)
{
    (void)signo;
    (void)context;
    children++;
    shared = si->si_code * 1000 + si->si_status;
}

static void show(const char *title, int status)
{
    if (WIFEXITED(status))
        printf("%s: exit %d\n", title, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: signal %d\n", title, WTERMSIG(status));
    else if (WIFSTOPPED(status))
        printf("%s: stopped %d\n", title, WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        printf("%s: continued\n", title);
}

static pid_t start(int how)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid)
        return pid;
    switch (how) {
    case 0: _exit(3);
    case 1: raise(SIGKILL);
    case 2: signal(SIGTERM, SIG_DFL); raise(SIGTERM);
    case 3: abort();
    case 4: for (;;) pause();
    case 5: usleep(30000); _exit(6);
    case 6: *(volatile int *)0 = 0;
    }
    _exit(99);
}

int main(int argc, char **argv)
{
    int status, local = 1;
    siginfo_t si;
    struct rusage usage;
    pid_t pid;

    if (argc > 1) {
        printf("exec'd %s: %s, %s, NEW=%s, closed %d, ignored %d default %d\n", argv[0] ? "ok" : "", argv[1],
               argv[2] ? argv[2] : "-", getenv("NEW") ? getenv("NEW") : "(none)",
               fcntl(77, F_GETFD) < 0 && fcntl(78, F_GETFD) >= 0, signal(SIGUSR1, SIG_DFL) == SIG_IGN,
               signal(SIGUSR2, SIG_DFL) == SIG_DFL);
        return argc;
    }
    dup2(1, 77);
    fcntl(77, F_SETFD, FD_CLOEXEC);
    dup2(1, 78);
    signal(SIGUSR1, SIG_IGN);
    struct sigaction sa = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &sa, NULL);

    for (int how = 0; how < 4; how++) {
        pid = start(how);
        printf("wait4 %d ", wait4(pid, &status, 0, &usage) == pid);
        show("status", status);
    }
    pid = start(4);
    printf("nohang %d\n", waitpid(pid, &status, WNOHANG));
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    show("stop", status);
    kill(pid, SIGCONT);
    waitpid(pid, &status, WCONTINUED);
    show("continue", status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    show("kill", status);

    pid = start(5);
    memset(&si, 0, sizeof si);
    printf("waitid nohang %d", waitid(P_PID, pid, &si, WEXITED | WNOHANG));
    printf(" pid %d\n", si.si_pid);
    printf("waitid %d", waitid(P_PID, pid, &si, WEXITED | WNOWAIT));
    printf(" pid %d code %d status %d signo %d uid %d\n", si.si_pid == pid, si.si_code, si.si_status,
           si.si_signo, si.si_uid == getuid());
    printf("again %d", waitpid(-1, &status, 0) == pid);
    show("", status);
    printf("no child %d", wait(&status));
    printf(" %d\n", errno == ECHILD);

    /* SIGCHLD with siginfo; ignored, the children vanish. */
    sigaction(SIGCHLD, &sa, NULL);
    pid = start(0);
    while (!children)
        usleep(1000);
    printf("sigchld %d info %d wait %d\n", children, shared, waitpid(pid, &status, 0) == pid);
    signal(SIGCHLD, SIG_IGN);
    pid = start(0);
    printf("ignored: wait %d", waitpid(pid, &status, 0));
    printf(" %d\n", errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);

    /* vfork: the parent waits and sees what the child wrote. */
    fflush(stdout);
    shared = 1;
    pid = vfork();
    if (pid == 0) {
        shared = 2;
        _exit(9);
    }
    waitpid(pid, &status, 0);
    printf("vfork saw %d ", shared);
    show("status", status);
    fflush(stdout);
    pid = vfork();
    if (pid == 0) {
        execl("/no/such/program", "x", NULL);
        shared = errno;
        _exit(127);
    }
    waitpid(pid, &status, 0);
    printf("vfork exec error %d ", shared == ENOENT);
    show("status", status);

    /* execve: arguments, environment, descriptors, dispositions. */
    fflush(stdout);
    if ((pid = fork()) == 0) {
        char *args[] = {"self", "one", "two words", NULL}, *env[] = {"NEW=value", NULL};
        execve("/proc/self/exe", args, env);
        _exit(98);
    }
    waitpid(pid, &status, 0);
    show("execve", status);
    fflush(stdout);
    char *args[] = {"spawned", "arg", NULL};
    local = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ);
    waitpid(pid, &status, 0);
    printf("spawn %d ", local);
    show("status", status);
    printf("spawn missing %d\n", posix_spawn(&pid, "/no/such", NULL, NULL, args, environ) == ENOENT);

    printf("exec dir %d %d\n", execl("/", "x", NULL), errno == EACCES);
    printf("exec data %d", execl("/proc/self/stat", "x", NULL));
    printf(" %d\n", errno == EACCES);
    printf("clone3 %d\n", syscall(SYS_clone3, 0, 0) < 0);

    /* Groups and sessions. */
    fflush(stdout);
    if ((pid = fork()) == 0) {
        int a = setpgid(0, 0), b = getpgrp() == getpid(), c = setsid();
        printf("group %d %d leader cannot %d\n", a, b, c);
        fflush(stdout);
        if ((pid = fork()) == 0)
            _exit(setsid() == getpid() && getsid(0) == getpid() ? 5 : 6);
        waitpid(pid, &status, 0);
        _exit(WEXITSTATUS(status));
    }
    waitpid(pid, &status, 0);
    show("session", status);
    printf("parent %d\n", getppid() > 0);

    /* Signals to groups: a child leads one, with a grandchild in it; the pipe closes with both. */
    fflush(stdout);
    int ready[2];
    char byte;
    pipe(ready);
    if ((pid = fork()) == 0) {
        setpgid(0, 0);
        fork();
        write(ready[1], "x", 1);
        for (;;) pause();
    }
    close(ready[1]);
    read(ready[0], &byte, 1);
    read(ready[0], &byte, 1);
    printf("group there %d\n", kill(-pid, 0));
    printf("group kill %d\n", kill(-pid, SIGTERM));
    waitpid(pid, &status, 0);
    show("group", status);
    printf("all gone %d\n", (int)read(ready[0], &byte, 1));
    if ((pid = fork()) == 0) {
        setsid();
        if (fork() == 0)
            for (;;) pause();
        signal(SIGTERM, SIG_IGN);
        printf("own group %d\n", kill(0, SIGTERM));
        fflush(stdout);
        wait(&status);
        show("member", status);
        fflush(stdout);
        signal(SIGUSR2, SIG_DFL);
        kill(0, SIGUSR2);
        _exit(97);
    }
    waitpid(pid, &status, 0);
    show("own group", status);
    printf("no group %d", kill(-0x3ffffff, 0));
    printf(" %d\n", errno == ESRCH);
    printf("getrusage %d bad %d\n", getrusage(RUSAGE_CHILDREN, &usage), getrusage(99, &usage));
    return 0;
}
