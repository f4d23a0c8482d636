// Tries by races, moved directories, descriptors, sockets and rare calls to reach what is not its own; says LEAK for each.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
static int leaks;
static void leak(const char *how, int n) { leaks++; printf("LEAK %s %d\n", how, n); fflush(stdout); }
static int secret_in(int fd) { char b[64] = {0}; if (fd < 0) return 0; int r = read(fd, b, 63) > 0 && strstr(b, "SECRET"); close(fd); return r; }
static volatile int stop;
static void *flip(void *p) { (void)p; while (!stop) { // a directory that is sometimes a link out
    rename("dir", "hidden"); symlink("..", "dir"); unlink("dir"); rename("hidden", "dir"); }
    return 0; }
static void *move(void *p) { (void)p; while (!stop) { rename("a/b/c", "c"); rename("c", "a/b/c"); } return 0; }
static void race(void *(*f)(void *), const char *path, const char *how) {
    pthread_t t; stop = 0; pthread_create(&t, 0, f, 0);
    for (int i = 0; i < 1000; i++) { int fd = open(path, O_RDONLY); if (secret_in(fd)) { leak(how, i); break; }
        struct stat st; if (stat(path, &st) == 0 && st.st_size == 7) { leak(how, i); break; } }
    stop = 1; pthread_join(t, 0); }
static int pass(int fd) { // through a socket and back
    int s[2]; if (socketpair(AF_UNIX, SOCK_STREAM, 0, s)) return -1;
    char c = 'x', ctl[CMSG_SPACE(sizeof(int))]; struct iovec v = {&c, 1}; struct msghdr m = {0};
    memset(ctl, 0, sizeof ctl); m.msg_iov = &v; m.msg_iovlen = 1; m.msg_control = ctl; m.msg_controllen = sizeof ctl;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m); h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(sizeof(int)); memcpy(CMSG_DATA(h), &fd, sizeof fd);
    int r = -1; if (sendmsg(s[0], &m, 0) == 1) { m.msg_controllen = sizeof ctl; if (recvmsg(s[1], &m, 0) == 1 && (h = CMSG_FIRSTHDR(&m))) memcpy(&r, CMSG_DATA(h), sizeof r); }
    close(s[0]); close(s[1]); return r; }
int main(int argc, char **argv) {
    (void)argc;
    mkdir("dir", 0700); mkdir("a", 0700); mkdir("a/b", 0700); mkdir("a/b/c", 0700); mkdir("a/b/c/d", 0700);
    race(flip, "dir/../secret", "flip"); race(flip, "dir/secret", "flip link"); race(move, "a/b/c/d/../../../../../secret", "move"); race(move, "a/b/c/d/../../../secret", "move");
    rename("c", "a/b/c");
    int deep = open("a/b/c/d", O_RDONLY | O_DIRECTORY);
    rename("a/b/c", "c");
    const char *ups[] = {"../../secret", "../../../secret", "../../../../secret", "../../../../../secret"};
    for (int i = 0; i < 4; i++) if (secret_in(openat(deep, ups[i], O_RDONLY))) leak("moved", i);
    fchdir(deep); for (int i = 0; i < 4; i++) if (secret_in(open(ups[i], O_RDONLY))) leak("moved cwd", i);
    char here[PATH_MAX]; if (!getcwd(here, sizeof here) || !strstr(here, "/c/d")) printf("cwd %s\n", here);
    rmdir("."); chdir(".."); rmdir("d"); fchdir(deep); for (int i = 0; i < 4; i++) if (secret_in(open(ups[i], O_RDONLY))) leak("removed cwd", i);
    chdir(argv[1]);
    for (int n = 3; n < 4096; n++) { if (n == deep) continue;
        int r = n < 8 ? -1 : pass(n); if (r >= 0) { leak("passed", n); close(r); } // it uses the first ones itself
        r = dup(n); if (r >= 0) { leak("dup", n); close(r); }
        r = fcntl(n, F_DUPFD, 5); if (r >= 0) { leak("F_DUPFD", n); close(r); }
        struct stat st; if (fstat(n, &st) == 0) leak("fstat", n);
        if (fstatat(n, "", &st, AT_EMPTY_PATH) == 0) leak("AT_EMPTY_PATH", n);
        if (fcntl(n, F_GETFD) >= 0) leak("F_GETFD", n);
        char c; if (read(n, &c, 1) >= 0) leak("read", n);
        if (write(n, "", 0) >= 0) leak("write", n);
        if (lseek(n, 0, SEEK_CUR) >= 0) leak("lseek", n);
        if (mmap(0, 4096, PROT_READ, MAP_SHARED, n, 0) != MAP_FAILED) leak("mmap", n);
        if (fchmod(n, 0700) == 0) leak("fchmod", n);
        if (fchdir(n) == 0) leak("fchdir", n);
        if (close(n) == 0) leak("close", n);
        char link[64]; sprintf(link, "/proc/self/fd/%d", n); if (readlink(link, here, sizeof here) >= 0) leak("readlink", n);
        if (linkat(n, "", AT_FDCWD, "got", AT_EMPTY_PATH) == 0) leak("linkat", n); }
    for (int n = 1000; n < 1064; n++) if (dup2(0, n) >= 0) close(n); // the emulator's own are refused
    syscall(SYS_close_range, 3, ~0u, 0);
    DIR *d = opendir("/proc/self/fd"); for (struct dirent *e; d && (e = readdir(d));) if (atoi(e->d_name) > 999) leak("listed", atoi(e->d_name)); if (d) closedir(d);
    // dangerous calls: none may exist
    static const int calls[] = {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_setns, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, 425, 438, 428, 430, 442, SYS_iopl, SYS_ioperm, SYS_swapon, SYS_quotactl, SYS_acct, SYS_keyctl, SYS_add_key, SYS_sethostname, SYS_setdomainname, SYS_fanotify_init, SYS_open_by_handle_at, SYS_uselib, SYS_kcmp, SYS_lookup_dcookie, SYS_migrate_pages, SYS_move_pages};
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) { errno = 0; long r = syscall(calls[i], 0, 0, 0, 0, 0, 0); if (r >= 0 || (errno != ENOSYS && errno != EPERM)) leak("call", calls[i]); }
    if (mknod("disk", S_IFBLK | 0600, 0xfe00) == 0) leak("mknod", 0);
    static const char *const files[] = {"/proc/self/mem", "/proc/self/pagemap", "/proc/kcore", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/sys/kernel", "/proc/1/cmdline", "/proc/sysrq-trigger", "/dev/tty1"};
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) if (open(files[i], O_RDONLY) >= 0 || open(files[i], O_WRONLY) >= 0) leak(files[i], i);
    // processes that are not its own
    int outer = getppid();
    if (kill(outer, 0) == 0 || kill(1, 0) == 0 || kill(-1, 0) == 0) leak("kill", outer);
    if (syscall(SYS_tgkill, outer, outer, 0) == 0 || syscall(SYS_tkill, outer, 0) == 0) leak("tkill", outer);
    siginfo_t info = {0}; info.si_code = -1; if (syscall(SYS_rt_sigqueueinfo, outer, 0, &info) == 0) leak("sigqueue", outer);
    if (syscall(434, outer, 0) >= 0) leak("pidfd_open", outer);
    if (setpriority(PRIO_PROCESS, outer, 19) == 0 || setpriority(PRIO_USER, 0, 19) == 0 || syscall(SYS_ioprio_set, 1, outer, 0x6000) == 0) leak("setpriority", outer);
    cpu_set_t set; CPU_ZERO(&set); CPU_SET(0, &set); if (sched_setaffinity(outer, sizeof set, &set) == 0) leak("sched_setaffinity", outer);
    int pair[2]; struct f_owner_ex owner = {F_OWNER_PID, outer}; socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (fcntl(pair[0], F_SETOWN, outer) == 0 || fcntl(pair[0], F_SETOWN_EX, &owner) == 0 || ioctl(pair[0], 0x8901, &outer) == 0) leak("owner", outer);
    if (fcntl(pair[0], F_SETOWN, getpid()) || kill(getpid(), 0)) printf("not even itself\n");
    // a bound socket and abstract sockets
    struct sockaddr_un un = {AF_UNIX, "../sock"}; int s = socket(AF_UNIX, SOCK_STREAM, 0); if (bind(s, (void *)&un, sizeof un) == 0) leak("bind", 0);
    strcpy(un.sun_path, "sockin"); if (bind(s, (void *)&un, sizeof un)) printf("no socket inside\n");
    un.sun_path[0] = 0; strcpy(un.sun_path + 1, "jitemu-abstract"); s = socket(AF_UNIX, SOCK_STREAM, 0); if (bind(s, (void *)&un, sizeof un) == 0) leak("abstract", 0);
    s = socket(AF_INET, SOCK_STREAM, 0); if (s >= 0) leak("inet", s); s = socket(AF_NETLINK, SOCK_RAW, 0); if (s >= 0) leak("netlink", s); s = socket(AF_PACKET, SOCK_RAW, 0); if (s >= 0) leak("packet", s); s = socket(AF_VSOCK, SOCK_STREAM, 0); if (s >= 0) leak("vsock", s);
    printf("tried; %d leaks\n", leaks); return leaks != 0;
}
