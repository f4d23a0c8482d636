"""Perl and Python: unmodified Debian i386 interpreters running scripts that use threads, fork, signals and floats."""

# ruff: noqa: E501 - a table of programs

from __future__ import annotations

from tests.debian_case import Case, text

PERL_TEXT = rb"""
use strict; use warnings;
my %n; my $len = 0;
while (<STDIN>) { chomp; $len += length; my ($i, $v, @w) = split; $n{$_}++ for @w; print "$i:$v\n" if /(\b\w)\w* \1\w*$/ && $v % 7 == 0 }
printf "%-10s %5d %s\n", $_, $n{$_}, '*' x ($n{$_} / 20) for sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n;
print join(',', map { sprintf '%03d', $_ } grep { $_ % 3 } 1 .. 20), "\n";
(my $s = "The cat sat on the mat") =~ s/(\w+)/\u\L$1/g; print "$s\n"; $s =~ tr/a-y/b-z/; print "$s\n";
print join('|', "a1b22c333" =~ /(\d+)/g), ' ', scalar reverse('abc'), ' ', lc('ABC') . ucfirst('xyz'), "\n";
my @sorted = sort { $a <=> $b } map { ($_ * 7919) % 1009 } 1 .. 500; print "@sorted[0..9] $sorted[-1]\n";
print unpack('H*', pack('NnCa3xVvw f d q>', 1, 2, 3, 'abc', 4, 5, 300, 1.5, -2.25, 77)), "\n";
print join(' ', unpack('N n C a3 x V v w', pack('N n C a3 x V v w', 1, 2, 3, 'abc', 4, 5, 300))), "\n";
printf "%e %g %.10f %s %s %s\n", 12345.678, 1e-5, atan2(1, 1) * 4, 1e15 + 0.3, 0.1 + 0.2, 1 / 3;
print 2 ** 0.5, ' ', 10 % 3, ' ', -10 % 3, ' ', int(-3.7), ' ', 1 <=> 2, ' ', 0xff & ~0x0f, ' ', 1 << 20, ' ', "10" + "20", "\n";
local $_ = "x=1;y=22;z=333"; my %h = /(\w)=(\d+)/g; print map { "$_>$h{$_} " } sort keys %h; print "\n";
sub fib { my $n = shift; $n < 2 ? $n : fib($n - 1) + fib($n - 2) } print fib(16), "\n";
my $r = { list => [1, [2, 3]], code => sub { "called @_" } }; print $r->{code}->($r->{list}[1][0]), " ", ref $r, "\n";
eval { die { code => 42 } }; print "caught $@->{code}\n"; eval { my $x = 1; $x / ($x - 1) }; print $@;
print sprintf('%vd', '1.22.333'), ' ', join(',', sort { $b cmp $a } qw(b A c)), ' ', "abc" x 2, ' ', ucfirst lc 'HELLO', "\n";
my $str = ''; open my $fh, '>', \$str or die; print $fh "in memory"; close $fh; print length $str, " $str\n";
exit 3;
"""
PERL_FORK = rb"""
use strict; $| = 1; use POSIX ':sys_wait_h';
my @kids; for my $n (1 .. 3) { my $p = fork // die; if (!$p) { exit $n * 2 } push @kids, $p }
print join(',', map { waitpid($_, 0); $? >> 8 } @kids), "\n";
pipe my $r, my $w; if (!fork) { close $r; print $w "from child\n" for 1 .. 3; exit 0 } close $w; print "got $_" while <$r>; wait;
my $n = 0; $SIG{USR1} = sub { $n++ }; kill USR1 => $$ for 1 .. 3; print "signals $n\n";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5; }; print "caught $@";
my $pid = fork; if (!$pid) { $SIG{TERM} = sub { exit 9 }; sleep 10; exit 1 } select undef, undef, undef, 0.1; kill TERM => $pid; waitpid $pid, 0; print $? >> 8, "\n";
$pid = fork; if (!$pid) { kill KILL => $$ } waitpid $pid, 0; print $? & 127, "\n";
print `echo backtick; exit 4`, $? >> 8, "\n"; system('exit 5'); print $? >> 8, "\n";
open my $p, '-|', 'sort', '-r', 't' or die; print <$p>; close $p;
local $SIG{CHLD} = 'IGNORE'; $pid = fork; exit 0 if !$pid; print waitpid($pid, 0), "\n";
print "ppid ok\n" if getppid; exec 'echo', 'execed';
"""
PERL_MODULES = rb"""
use Digest::MD5 'md5_hex'; use Digest::SHA qw(sha1_hex sha512_base64); use MIME::Base64; use List::Util qw(sum max reduce shuffle first);
use Time::Local; use Data::Dumper; use Storable 'dclone'; use POSIX qw(floor ceil fmod strftime strtol DBL_MAX); use Math::BigInt; use Math::Trig; use File::Temp; use JSON::PP; use Encode; use Compress::Zlib; use Text::Wrap;
$Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
print md5_hex('abc'), ' ', sha1_hex('abc'), ' ', sha512_base64('abc'), ' ', encode_base64('hello world');
print sum(1 .. 100), ' ', max(3, 9, 2), ' ', (reduce { $a * $b } 1 .. 10), ' ', (first { $_ > 5 } 1 .. 10), "\n";
print Dumper(dclone({ a => [1, 2, { b => undef }], c => \'s' }));
print floor(-2.5), ceil(2.1), fmod(7.5, 2), ' ', strftime('%F %T', gmtime(86400 * 365)), ' ', timegm(0, 0, 0, 1, 0, 100), "\n";
print Math::BigInt->new('123456789012345678901234567890')->bpow(5), ' ', pi, ' ', tan(1), ' ', acos(0.3), "\n";
print JSON::PP->new->canonical->encode(decode_json('{"b":[1,2.5,"x",null,true],"a":{"c":"\u00e4"}}')), "\n";
print length(encode('UTF-8', "\x{20ac}\x{e4}")), ' ', uncompress(compress('squeeze' x 50)) eq 'squeeze' x 50, "\n";
$Text::Wrap::columns = 30; print wrap('', '  ', 'the quick brown fox jumps over the lazy dog again and again'), "\n";
"""
PY_THREADS = rb"""
import threading, queue, concurrent.futures as cf, hashlib, time
q, done, lock, total = queue.Queue(), [], threading.Lock(), 0
def worker(n):
    global total
    while (item := q.get()) is not None:
        with lock:
            total += item * item
    done.append(n)
ts = [threading.Thread(target=worker, args=(n,)) for n in range(4)]
[t.start() for t in ts]
for i in range(500): q.put(i)
for _ in ts: q.put(None)
[t.join() for t in ts]
print(total, sorted(done))
with cf.ThreadPoolExecutor(3) as ex:
    print([h[:8] for h in ex.map(lambda n: hashlib.sha256(b'x' * n * 1000).hexdigest(), range(6))])
ev, bar = threading.Event(), threading.Barrier(3)
out = []
def meet(n):
    bar.wait(); ev.wait(); out.append(n)
ts = [threading.Thread(target=meet, args=(n,)) for n in range(2)]
[t.start() for t in ts]; bar.wait(); ev.set(); [t.join() for t in ts]
print(sorted(out), threading.active_count())
loc = threading.local(); loc.x = 1
def see(): print(hasattr(loc, 'x'))
t = threading.Thread(target=see); t.start(); t.join()
t = threading.Timer(0.02, lambda: print('timer')); t.start(); t.join()
c = threading.Condition(); state = []
def cons():
    with c:
        c.wait_for(lambda: state, 5); print('cond', state)
t = threading.Thread(target=cons); t.start()
with c: state.append(1); c.notify_all()
t.join()
"""
PY_FORK = rb"""
import os, signal, subprocess, sys, time, struct
sys.stdout.reconfigure(line_buffering=True)
pids = []
for n in range(3):
    pid = os.fork()
    if pid == 0: os._exit(n + 10)
    pids.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids])
r, w = os.pipe()
if (pid := os.fork()) == 0:
    os.write(w, struct.pack('<if', 7, 2.5)); os._exit(0)
os.waitpid(pid, 0); print(struct.unpack('<if', os.read(r, 8)))
hits = []
signal.signal(signal.SIGALRM, lambda s, f: hits.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
t = time.monotonic()
while len(hits) < 3 and time.monotonic() - t < 20: time.sleep(0.01)
signal.setitimer(signal.ITIMER_REAL, 0); print(len(hits) >= 3)
class Late(Exception): pass
def late(s, f): raise Late
signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    time.sleep(20)
except Late: print('late')
hits.clear(); signal.signal(signal.SIGALRM, lambda s, f: hits.append(s)); signal.setitimer(signal.ITIMER_REAL, 0.05)
while not hits: pass
print(hits)
signal.signal(signal.SIGUSR1, lambda s, f: print('usr1', s)); os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}); os.kill(os.getpid(), signal.SIGUSR1); print(signal.sigpending()); signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
p = subprocess.Popen(['sort', '-n'], stdin=subprocess.PIPE, stdout=subprocess.PIPE); print(p.communicate(b'10\n9\n100\n1\n'), p.returncode)
p1 = subprocess.Popen(['seq', '200'], stdout=subprocess.PIPE); p2 = subprocess.Popen(['grep', '-c', '7'], stdin=p1.stdout, stdout=subprocess.PIPE); p1.stdout.close(); print(p2.communicate()[0], p1.wait())
print(subprocess.run('echo $X; exit 3', shell=True, env={'X': 'env', 'PATH': '/bin:/usr/bin'}, capture_output=True))
try: subprocess.run(['sleep', '10'], timeout=0.2)
except subprocess.TimeoutExpired as e: print(e.cmd)
try: subprocess.run(['/nonexistent'])
except FileNotFoundError as e: print(e)
p = subprocess.Popen(['sleep', '10']); p.terminate(); print(p.wait())
p = subprocess.Popen([sys.executable, '-c', 'import os; os.abort()']); print(p.wait())
os.execv('/bin/echo', ['echo', 'execed'])
"""
PY_MATH = rb"""
import math, cmath, decimal, fractions, random, statistics, struct, array
for f in (math.sin, math.cos, math.tan, math.exp, math.log1p, math.atan, math.sinh, math.gamma, math.erf, math.cbrt, math.expm1):
    print(f.__name__, [f(x).hex() for x in (0.1, 0.7, 1.5, 3.25)])
print(math.log(2).hex(), math.pow(2.5, 3.5).hex(), math.hypot(3, 4), math.fmod(-7.5, 2), math.frexp(10.5), math.ldexp(0.5, 10), math.fsum([.1] * 10), math.nextafter(1, 2), math.remainder(7.5, 2))
print(math.factorial(60), math.comb(50, 25), math.gcd(2**40 * 3, 6**20), math.isqrt(10**30), pow(3, 10**6, 10**9 + 7), 2**521 % 10**20)
print(cmath.sqrt(-2 + 1j), cmath.exp(1j * cmath.pi), (1 + 2j) ** 3)
decimal.getcontext().prec = 60
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7, decimal.Decimal(3).exp(), decimal.Decimal('1.1') ** 50)
print(sum(fractions.Fraction(1, n) for n in range(1, 40)), fractions.Fraction(0.1), fractions.Fraction(math.pi).limit_denominator(1000))
random.seed(42); print([random.random() for _ in range(3)], random.randint(1, 10**12), random.sample(range(100), 5), random.gauss(0, 1), random.shuffle(x := list(range(8))) or x)
print(statistics.mean([1.5, 2.5, 4]), statistics.stdev([1, 2, 3, 4]), round(2.675, 2), round(-0.5), 1e308 * 10, -1e308 * 10, float('nan') == float('nan'), 0.1 + 0.2, 1e22, 5e-324, 1.7976931348623157e308, 2**53 + 1.0)
print(struct.pack('<bhiqfd', -1, -2, -3, -4, 1.5, -2.5).hex(), struct.unpack('>If', bytes(range(8))), array.array('d', [1, 2.5]).tobytes().hex())
print(int.from_bytes(bytes(range(20)), 'big'), hash(2.5), hash(10**20), divmod(-17, 5), -17 // 5.0, 10**25 // 7**10, (10**30).bit_length(), f'{math.pi:.20f} {1234567.891:,.2f} {255:#x} {1e-7:g}')
"""
PY_LIB = rb"""
import hashlib, hmac, json, zlib, bz2, lzma, base64, re, collections, itertools, functools, heapq, bisect, datetime, textwrap, string, io, csv, binascii, pickle, copy, dataclasses, enum, zipfile, tarfile, configparser, difflib, ast, secrets, uuid, gzip, operator, xml.etree.ElementTree as ET, sqlite3, calendar, shlex, fnmatch, html, urllib.parse, unicodedata, codecs
data = bytes(i * i % 251 for i in range(20000))
for name in sorted(hashlib.algorithms_guaranteed - {'shake_128', 'shake_256'}): print(name, hashlib.new(name, data).hexdigest())
print(hmac.new(b'k', data, 'sha256').hexdigest(), hashlib.pbkdf2_hmac('sha1', b'p', b's', 100).hex(), hashlib.scrypt(b'p', salt=b's', n=16, r=1, p=1, dklen=16).hex())
for m in (zlib, bz2, lzma): c = m.compress(data); print(m.__name__, len(c), m.decompress(c) == data, zlib.crc32(c), zlib.adler32(data))
o = {'a': [1, 2.5, None, True, 'x\u00e4\u20ac'], 'b': {'c': -1e-10, 'd': 10**20}}; s = json.dumps(o, sort_keys=True, indent=1); print(s, json.loads(s) == o)
print(re.findall(r'(?i)\b(\w)\w*\1\b', 'Anna did level noon Test'), re.sub(r'(\d+)', lambda m: str(int(m[1]) * 2), 'a1b22'), re.split(r'[,;]\s*', 'a, b;c'), re.fullmatch(r'(?P<y>\d{4})-(?P<m>\d\d)', '2024-05').groupdict())
print(collections.Counter('mississippi').most_common(), list(itertools.islice(itertools.permutations('abcd', 3), 5)), functools.reduce(operator.xor, range(100)), heapq.nsmallest(3, [5, 1, 9, 2]), bisect.bisect([1, 3, 5], 4))
print(datetime.datetime(2024, 2, 29, 12) + datetime.timedelta(days=366), datetime.date(2024, 1, 1).isocalendar(), calendar.month(2024, 2))
print(base64.b85encode(b'hello'), binascii.crc_hqx(b'x', 0), pickle.loads(pickle.dumps(o)) == o, uuid.uuid5(uuid.NAMESPACE_DNS, 'x.org'), zlib.crc32(pickle.dumps(o, 4)))
b = io.BytesIO(); z = zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED); z.writestr('f', data); z.close(); print(zipfile.ZipFile(b).read('f') == data)
db = sqlite3.connect(':memory:'); db.execute('create table t(a,b)'); db.executemany('insert into t values(?,?)', [(i, i * 1.5) for i in range(300)]); print(db.execute('select sum(a), avg(b), count(*) from t where a % 3 = 0').fetchone())
print(ET.tostring(ET.fromstring('<a x="1"><b>t</b></a>')), list(difflib.unified_diff(['a', 'b'], ['a', 'c'], lineterm='')), ast.dump(ast.parse('x+1')), urllib.parse.quote('a b/\u00e4'), unicodedata.name('\u20ac'), codecs.encode('abc', 'rot13'))
@dataclasses.dataclass(order=True)
class P: x: int; y: float = 2.5
print(sorted([P(2), P(1)]), textwrap.fill('word ' * 20, 30), eval('(lambda *a, **k: (a, k))(1, b=2)'), f'{P(1)!r:>20}')
def g():
    try:
        x = yield 1; print('sent', x); yield 2
    finally: print('closed')
i = g(); next(i); i.send('v'); i.close()
"""
PY_ASYNC = rb"""
import asyncio, select, socket, os, sys, selectors, time, fcntl, mmap, tempfile, resource
async def tick(n, d): await asyncio.sleep(d); return n
async def main():
    print(await asyncio.gather(*(tick(n, 0.03 * (3 - n)) for n in range(3))))
    q = asyncio.Queue()
    async def prod():
        for i in range(5): await q.put(i); await asyncio.sleep(0)
        await q.put(None)
    t = asyncio.create_task(prod()); got = []
    while (x := await q.get()) is not None: got.append(x)
    print(got)
    try: await asyncio.wait_for(asyncio.sleep(5), 0.05)
    except asyncio.TimeoutError: print('timeout')
    p = await asyncio.create_subprocess_exec('tr', 'a-z', 'A-Z', stdin=-1, stdout=-1); print(await p.communicate(b'async pipe'), p.returncode)
asyncio.run(main())
a, b = socket.socketpair(); a.send(b'hello'); print(select.select([b], [a], [], 1)[0] == [b], b.recv(10))
r, w = os.pipe(); p = select.poll(); p.register(r, select.POLLIN); print(p.poll(10)); os.write(w, b'x'); print([e for _, e in p.poll(1000)])
e = select.epoll(); e.register(r, select.EPOLLIN); print([x for _, x in e.poll(1)]); e.close()
s = selectors.DefaultSelector(); s.register(b, selectors.EVENT_READ); a.send(b'y'); print(len(s.select(1)))
with open('m', 'wb+') as f:
    f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[10:15] = b'mmap!'; m.flush(); f.seek(10); print(f.read(5), m.find(b'!')); m.close()
    fcntl.flock(f, fcntl.LOCK_EX); print(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_ACCMODE, os.fstat(f.fileno()).st_size)
m = mmap.mmap(-1, 4096)
if (pid := os.fork()) == 0: m[0] = 77; os._exit(0)
os.waitpid(pid, 0); print(m[0])
print(os.path.exists('/proc/self/stat'), os.listdir('/proc/self/fd') != [], os.readlink('/proc/self/exe'), os.get_terminal_size.__name__, os.isatty(0))
"""
PY_ERRORS = rb"""
import sys, os, ctypes.util
def f(n): return f(n + 1)
try: f(0)
except RecursionError as e: print(e)
try: [0] * (1 << 40)
except (MemoryError, OverflowError) as e: print(type(e).__name__)
try: open('/nosuch/file')
except OSError as e: print(e.errno, e)
try: open('/etc/passwd', 'a')
except OSError as e: print(e.errno, e)
try: 1 / 0
except ZeroDivisionError as e: print(e)
sys.stderr.write('to stderr\n')
os.environ['Z'] = '1'; print(os.getenv('Z'), sys.maxsize, sys.byteorder, sys.float_info.dig, os.uname().machine in ('i686', 'x86_64'))
class A:
    def __del__(self): print('deleted')
a = A(); del a
raise SystemExit(4)
"""

PY = ("/usr/bin/python3", "-B", "s.py")
PERL = ("/usr/bin/perl", "s.pl")
CASES = (
    Case("perl-hello", ("/usr/bin/perl", "-e", 'print "hello $]\n"'), quick=True, slow_tiers=True),
    Case("perl-text", PERL, text(1500, 3), files={"s.pl": PERL_TEXT}),
    Case("perl-fork", PERL, files={"s.pl": PERL_FORK, "t": b"a\nc\nb\n"}),
    Case("perl-modules", PERL, files={"s.pl": PERL_MODULES}),
    Case("perl-die", ("/usr/bin/perl", "-we", 'my @a = (1, 2); print "x" . undef, "\n"; die "dead"'), slow_tiers=True),
    Case("perl-oneliner", ("/usr/bin/perl", "-lane", "$s += $F[1]; END { print $s }"), text(800)),
    Case("python-hello", ("/usr/bin/python3", "-B", "-S", "-c", "print('hello', 2**100)"), quick=True),
    Case("python-threads", PY, files={"s.py": PY_THREADS}),
    Case("python-fork", PY, files={"s.py": PY_FORK}),
    Case("python-math", PY, files={"s.py": PY_MATH}),
    Case("python-lib", PY, files={"s.py": PY_LIB}),
    Case("python-async", PY, files={"s.py": PY_ASYNC}),
    Case("python-errors", PY, files={"s.py": PY_ERRORS}),
    Case("python-traceback", ("/usr/bin/python3", "-B", "-c", "def f():\n  return {}['k']\nf()")),
    Case("python-stdin", ("/usr/bin/python3", "-B", "-"), b"import sys\nprint([i*i for i in range(5)], sys.argv)\n"),
    Case("python-compileall", ("/bin/bash", "-c", "touch -d @1 s.py; python3 -m py_compile s.py && python3 s.py | md5sum"), files={"s.py": PY_MATH}),
    Case("python-bench", ("/usr/bin/python3", "-B", "-c", "s=0\nfor i in range(60000): s = (s * 31 + i) % 1000003\nprint(s, sum(x*0.5 for x in range(30000)))")),
)  # fmt: skip
