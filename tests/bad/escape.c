// Tries by every path trick to read or change a file outside its tree; says LEAK for each that works.
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *secret, *directory;
static int leaks;
static void leak(const char *how, const char *path) { leaks++; printf("LEAK %s %s\n", how, path); fflush(stdout); }
static void try_fd(int fd, const char *how, const char *path) {
    char buffer[64] = {0};
    if (fd >= 0) { if (read(fd, buffer, 63) > 0 && strstr(buffer, "SECRET")) leak(how, path); close(fd); }
}
static void attack(const char *path) {
    char target[PATH_MAX]; struct stat st;
    try_fd(open(path, O_RDONLY), "open", path);
    try_fd(openat(AT_FDCWD, path, O_RDWR), "openat", path);
    int fd = open(path, O_WRONLY | O_APPEND); if (fd >= 0) { if (write(fd, "x", 1) == 1 && strstr(path, "secret")) leak("write", path); close(fd); }
    snprintf(target, sizeof target, "%s.new", path); fd = open(target, O_CREAT | O_WRONLY, 0600); if (fd >= 0) { close(fd); }
    snprintf(target, sizeof target, "%s", path); if (truncate(target, 0) == 0) leak("truncate", path);
    if (link(path, "hard") == 0) { try_fd(open("hard", O_RDONLY), "link", path); unlink("hard"); }
    if (rename(path, "moved") == 0) { try_fd(open("moved", O_RDONLY), "rename", path); rename("moved", path); }
    unlink("soft"); if (symlink(path, "soft") == 0) { try_fd(open("soft", O_RDONLY), "symlink", path); if (truncate("soft", 0) == 0) leak("truncate symlink", path); if (chmod("soft", 0777) == 0 && stat("soft", &st) == 0) leak("chmod", path); }
    if (chmod(path, 0777) == 0) leak("chmod", path);
    if (mkdir(path, 0700) == 0) leak("mkdir", path);
    if (unlink(path) == 0) leak("unlink", path);
}
int main(int argc, char **argv) {
    secret = argv[1]; directory = argv[2]; (void)argc;
    char path[PATH_MAX * 2], here[PATH_MAX];
    static const char *const prefixes[] = {"", "/proc/self/root", "/proc/self/cwd/../..", "/proc/self/cwd/../../../../../../../..", "/proc/1/root", "/proc/self/task/1/root",
        "/dev/fd/../../..", "/proc/self/fd/../../../..", "../../../../../../../../../../..", "/..", "/./../..", "sub/../../../../../../../../../..", "/dev/../..", "/proc/self/exe/../../../../../.."};
    mkdir("sub", 0700);
    for (unsigned i = 0; i < sizeof prefixes / sizeof *prefixes; i++) { snprintf(path, sizeof path, "%s%s", prefixes[i], secret); attack(path); }
    attack("../secret"); attack("sub/../../secret"); attack("./../secret"); attack("../../outer/secret");
    symlink("..", "up"); attack("up/secret"); symlink("/", "rootlink"); snprintf(path, sizeof path, "rootlink%s", secret); attack(path);
    symlink(directory, "dirlink"); attack("dirlink/secret"); symlink("/proc/self/cwd/..", "proclink"); attack("proclink/secret");
    symlink("loop2", "loop1"); symlink("loop1", "loop2"); try_fd(open("loop1", O_RDONLY), "loop", "loop1");
    if (chdir("..") == 0) { attack("secret"); if (chdir("..") == 0) attack("outer/secret"); if (chdir(directory) == 0) attack("secret"); }
    if (chdir("/") == 0) { chdir(".."); snprintf(path, sizeof path, ".%s", secret); attack(path); }
    if (chroot("/") == 0) attack(secret);
    if (chroot(".") == 0) { chdir("../../../../.."); attack(secret + 1); }
    int fd = open(".", O_RDONLY | O_DIRECTORY); try_fd(openat(fd, "../secret", O_RDONLY), "openat ..", "../secret"); try_fd(openat(fd, secret, O_RDONLY), "openat abs", secret);
    if (fchdir(fd) == 0) attack("../secret");
    fd = open("/", O_PATH); try_fd(openat(fd, secret + 1, O_RDONLY), "O_PATH", secret); snprintf(path, sizeof path, "..%s", secret); try_fd(openat(fd, path, O_RDONLY), "O_PATH ..", path);
    for (int n = 0; n < 4096; n++) { // what the emulator itself has open must not be reachable
        try_fd(openat(n, "secret", O_RDONLY), "fd", "secret"); try_fd(openat(n, "../secret", O_RDONLY), "fd ..", "../secret"); try_fd(openat(n, secret + 1, O_RDONLY), "fd root", secret);
        snprintf(path, sizeof path, "/proc/self/fd/%d/../secret", n); if (n < 64 || (n >= 1000 && n < 1064)) { try_fd(open(path, O_RDONLY), "procfd", path); snprintf(path, sizeof path, "/proc/self/fd/%d%s", n, secret); try_fd(open(path, O_RDONLY), "procfd", path); snprintf(path, sizeof path, "/proc/self/fd/%d/secret", n); try_fd(open(path, O_RDONLY), "procfd", path); }
    }
    snprintf(path, sizeof path, "/proc/%d/root%s", getpid(), secret); attack(path); snprintf(path, sizeof path, "/proc/%d/cwd/../secret", getpid()); attack(path); snprintf(path, sizeof path, "/proc/%d/root%s", getppid(), secret); attack(path);
    if (mount(directory, "sub", 0, MS_BIND, 0) == 0) attack("sub/secret");
    if (syscall(SYS_pivot_root, ".", "sub") == 0) attack("/sub/secret");
    struct { unsigned bytes; int type; unsigned char handle[128]; } handle = {128, 0, {0}}; int mount_id; // open_by_handle_at
    if (syscall(SYS_name_to_handle_at, AT_FDCWD, ".", &handle, &mount_id, 0) == 0) { int any = open(".", O_RDONLY); fd = syscall(SYS_open_by_handle_at, any, &handle, O_RDONLY); try_fd(openat(fd, "../secret", O_RDONLY), "handle", "../secret"); }
    struct { unsigned long long flags, mode, resolve; } how = {0}; try_fd(syscall(437, AT_FDCWD, secret, &how, sizeof how), "openat2", secret);
    char exe[PATH_MAX]; if (realpath("/proc/self/cwd", here)) { snprintf(exe, sizeof exe, "%s/../secret", here); attack(exe); }
    if (execl("/bin/cat", "cat", secret, (char *)0)) {}
    printf("tried; %d leaks\n", leaks);
    return leaks != 0;
}
