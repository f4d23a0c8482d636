"""The command line: arguments in, an exit status out. Each command is imported when it is used."""

from __future__ import annotations

import contextlib
import os
import sys

from jitemu.complain import complain

USAGE = """\
usage: jitemu run [options] PROGRAM [ARGS...]   run an i386 Linux or a DOS program
       jitemu boot [options]                    start a PC from images or a kernel
       jitemu why [options] PROGRAM [ARGS...]   run it and say where its time went, and why
       jitemu dump [options] FILE[@WHERE]       show what the translator makes of its code
       jitemu sysroot DIR PACKAGE...            fetch i386 Debian packages into DIR, for run -L
       jitemu cache info|clear|build|warm|export|import
                                                the compiled code kept for later runs
       jitemu bench [options] [NAME...]         measure it against native runs and qemu-i386
       jitemu --version | --help

jitemu runs 32-bit x86 Linux programs, DOS programs and whole PCs by translating to native code.

examples:
  jitemu run ./hello                            a static program; arguments follow it
  jitemu sysroot ~/i386 bash coreutils perl-base
  jitemu run -L ~/i386 /usr/bin/perl -e 'print 6*7'
                                                a dynamic program with its libraries
  jitemu run --timeout 10 --memory 256M --budget 1000000000 ./guest
                                                limits: seconds, bytes, insns
  jitemu run --mount ~/data:/data:rw --net host ./guest
                                                more of the host, if the guest may have it
  jitemu run --stats -strace ./guest            what it did, and its system calls
  jitemu boot -fda freedos.img                  a whole PC (jitemu boot --help)
  jitemu run -d in_asm,out_asm -D log ./guest   guest and host code of every block
  jitemu dump --stage ir ./guest@main           the IR of a function's first block

`jitemu COMMAND --help` lists a command's options. From Python: `from jitemu import Process`.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status; `run` ends the process as the guest ended."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return _command(words)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _closed_pipe()
    except Exception as error:
        return _internal(error)


def _command(words: list[str]) -> int:
    name = words[0] if words else ""
    if name == "run":
        from jitemu.run import run

        return run(words[1:])
    if name == "boot":
        from jitemu.boot import boot

        return boot(words[1:])
    if name == "why":
        from jitemu.why import why

        return why(words[1:])
    if name == "dump":
        from jitemu.dump import dump

        return dump(words[1:])
    if name == "sysroot":
        from jitemu.sysroot import sysroot

        return sysroot(words[1:])
    if name == "cache":
        from jitemu.cache import cache

        return cache(words[1:])
    if name == "bench":
        from jitemu.bench import bench

        return bench(words[1:])
    if name in ("-h", "--help", "help"):
        print(USAGE, end="", flush=True)
        return 0
    if name in ("-V", "--version", "-version"):
        from jitemu import __version__

        print(f"jitemu {__version__}", flush=True)
        return 0
    what = f"unknown command {name!r}" if name else "a command is missing"
    complain(f"{what}: run, boot, why, dump, sysroot, cache or bench (see jitemu --help)")
    return 2


def _interrupted() -> int:
    """Die of SIGINT, so that a calling shell sees an interrupted command."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 130


def _closed_pipe() -> int:
    """Die of SIGPIPE, silently: whoever read our output has had enough."""
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    return 141


def _internal(error: Exception) -> int:
    from jitemu.config import INTERNAL_STATUS, is_debugging

    if is_debugging():
        raise error
    text = " ".join(str(error).split())
    if isinstance(error, OSError):  # the machine's fault: a full disk, a missing right
        complain(
            f"{error.filename}: {error.strerror}" if error.filename else error.strerror or text
        )
        _drop_output()
    else:
        hint = "(JITEMU_DEBUG=1 shows where; please report it)"
        complain(f"internal error: {type(error).__name__}: {text} {hint}")
    return INTERNAL_STATUS


def _drop_output() -> None:
    """Forget what could not be written: the interpreter would try again at its end."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
