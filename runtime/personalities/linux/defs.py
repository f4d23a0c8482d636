"""Numbers of the Linux i386 interface that several files of the personality need."""

PAGE = 4096

# Signals
SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL = range(1, 10)
SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD = range(10, 18)
SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ = range(18, 26)
SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS = range(26, 32)
NSIG = 64

SIG_DFL, SIG_IGN = 0, 1
SA_NOCLDSTOP, SA_NOCLDWAIT, SA_SIGINFO = 1, 2, 4
SA_RESTORER = 0x04000000
SA_ONSTACK = 0x08000000
SA_RESTART = 0x10000000
SA_NODEFER = 0x40000000
SA_RESETHAND = 0x80000000

SS_ONSTACK, SS_DISABLE = 1, 2
SS_AUTODISARM = 0x80000000

# siginfo si_code
SI_USER, SI_KERNEL, SI_QUEUE, SI_TIMER, SI_TKILL = 0, 0x80, -1, -2, -6

# clone
CLONE_VM = 0x100
CLONE_FS = 0x200
CLONE_FILES = 0x400
CLONE_SIGHAND = 0x800
CLONE_PIDFD = 0x1000
CLONE_VFORK = 0x4000
CLONE_PARENT = 0x8000
CLONE_THREAD = 0x10000
CLONE_NEWNS = 0x20000
CLONE_SETTLS = 0x80000
CLONE_PARENT_SETTID = 0x100000
CLONE_CHILD_CLEARTID = 0x200000
CLONE_CHILD_SETTID = 0x1000000
CLONE_NEW_ANY = 0x7E020080  # every CLONE_NEW* namespace

# Segments of a 32-bit task under a 64-bit kernel
USER_CS, USER_DS = 0x23, 0x2B
TLS_MIN, TLS_MAX = 12, 14

# errno values the emulator itself decides about
EPERM, ENOENT, ESRCH, EINTR, EBADF, EAGAIN, ENOMEM, EACCES, EFAULT = 1, 2, 3, 4, 9, 11, 12, 13, 14
EBUSY, EEXIST, EINVAL, ENOTTY, ENOSYS, EOPNOTSUPP, ETIMEDOUT = 16, 17, 22, 25, 38, 95, 110


def sigbit(signo: int) -> int:
    """Return the bit of *signo* in a signal set."""
    return 1 << (signo - 1)


def sigset(*signals: int) -> int:
    """Return the set of *signals* as a 64-bit mask."""
    return sum(sigbit(signo) for signo in signals)


UNBLOCKABLE = sigset(SIGKILL, SIGSTOP)
SYNCHRONOUS = sigset(SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS)
IGNORED_BY_DEFAULT = sigset(SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
STOPS_BY_DEFAULT = sigset(SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU)

# Never blocked on the host, and handled there by the translator: its own faults and its wake-up for
# threads. Among guest threads these signals travel through the emulator.
HOST_OWNED = sigset(SIGBUS, SIGSEGV, 64)
