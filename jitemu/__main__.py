"""Command line: temporary."""
import sys
from runtime.personalities.linux import Linux, LinuxOptions

def main():
    import argparse
    p=argparse.ArgumentParser(); p.add_argument("cmd"); p.add_argument("--strategy",default="stencil"); p.add_argument("-L"); p.add_argument("-strace",action="store_true"); p.add_argument("--host-fs",action="store_true"); p.add_argument("--stats",action="store_true")
    p.add_argument("prog"); p.add_argument("args",nargs=argparse.REMAINDER)
    a=p.parse_args()
    l=Linux(a.prog,[a.prog,*a.args],LinuxOptions(sysroot=a.L,strace=a.strace,host_fs=a.host_fs),a.strategy)
    e=l.run()
    if a.stats: print(l.process.engine.statistics, file=sys.stderr); print(l.process.engine.statistics.exits_by_name(),file=sys.stderr)
    sys.stdout.flush()
    import os
    from runtime.personalities.linux import ending
    print(e,file=sys.stderr)
if __name__=="__main__": main()
