/* Small calls: ids, limits, prctl, scheduling, random numbers, personality, system facts. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(void)
{
    struct utsname u;
    struct rlimit r, was;
    struct sysinfo si;
    struct tms tms;
    char name[20] = "";
    unsigned char random[16] = {0};
    cpu_set_t set;
    unsigned cpu = 99, node = 99;
    int zeros = 0, a, b, c;

    uname(&u);
    printf("%s %d\n", u.sysname, (int)strlen(u.nodename) > 0);
    printf("ids %d %d %d %d\n", getuid() == geteuid(), getgid() == getegid(), getpid() > 1,
           (int)syscall(SYS_getuid) == (getuid() > 65535 ? 65534 : (int)getuid()));
    getresuid((void *)&a, (void *)&b, (void *)&c);
    printf("res %d %d\n", a == b, b == c);
    printf("groups %d\n", getgroups(0, NULL) >= 0);
    printf("setuid %d\n", setuid(getuid()));

    getrlimit(RLIMIT_NOFILE, &was);
    r = was;
    r.rlim_cur = 100;
    printf("nofile %d", setrlimit(RLIMIT_NOFILE, &r));
    getrlimit(RLIMIT_NOFILE, &r);
    printf(" %d\n", (int)r.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &was);
    r.rlim_cur = r.rlim_max = 0;
    printf("core %d", setrlimit(RLIMIT_CORE, &r));
    getrlimit(RLIMIT_CORE, &r);
    printf(" %d %d\n", (int)r.rlim_cur, (int)r.rlim_max);
    r.rlim_cur = 5;
    r.rlim_max = 4;
    printf("inverted %d", setrlimit(RLIMIT_CPU, &r));
    printf(" %d\n", errno == EINVAL);
    printf("bad %d", getrlimit(99, &r));
    printf(" %d\n", errno == EINVAL);

    prctl(PR_SET_NAME, "a name that is too long");
    prctl(PR_GET_NAME, name);
    printf("name %s\n", name);
    printf("dumpable %d death %d", prctl(PR_GET_DUMPABLE), prctl(PR_SET_PDEATHSIG, 0));
    printf(" %d\n", prctl(PR_GET_PDEATHSIG, &a) == 0 && a == 0);
    printf("bad prctl %d", prctl(123456, 0, 0, 0, 0));
    printf(" %d\n", errno == EINVAL);
    printf("no new privs %d %d\n", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));

    printf("affinity %d", sched_getaffinity(0, sizeof set, &set));
    printf(" %d\n", CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN));
    printf("policy %d max %d min %d\n", sched_getscheduler(0), sched_get_priority_max(SCHED_FIFO),
           sched_get_priority_min(SCHED_FIFO));
    printf("getcpu %ld %d\n", syscall(SYS_getcpu, &cpu, &node, NULL), cpu < 99 && node < 99);
    printf("priority %d\n", getpriority(PRIO_PROCESS, 0) >= -20);

    printf("random %zd", getrandom(random, 16, 0));
    for (int i = 0; i < 16; i++)
        zeros += !random[i];
    printf(" %d\n", zeros < 8);
    a = sysinfo(&si);
    printf("sysinfo %d %d %d\n", a, si.uptime > 0, si.totalram > 0 && si.mem_unit > 0);
    printf("times %d\n", times(&tms) != -1);
    printf("ptrace %d\n", syscall(SYS_ptrace, 16, 1, 0, 0) < 0);
    printf("unknown %ld", syscall(1000));
    printf(" %d\n", errno == ENOSYS);
    printf("fault %ld", syscall(SYS_uname, 16));
    printf(" %d\n", errno == EFAULT);
    printf("membarrier %d\n", syscall(SYS_membarrier, 0, 0, 0) >= 0);
    printf("tid address %d\n", syscall(SYS_set_tid_address, &a) == getpid());
    return 0;
}
