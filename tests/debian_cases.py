"""Shells and tools: unmodified Debian i386 programs as data; the scripting languages are in debian_scripts.py."""

# ruff: noqa: E501 - a table of programs

from __future__ import annotations

from tests.debian_case import Case, binary, text

TEXT = text(400)
BIG = text(6000, 5)
BYTES = binary(120_000)

BASH_JOBS = b"""
worker() { local n=$1; local s=0 i; for ((i = 0; i < 200; i++)); do ((s += i * n)); done; echo "$n $s" > out.$n; return $((n % 3)); }
for n in 1 2 3 4; do worker $n & pids[$n]=$!; done
for n in 1 2 3 4; do wait ${pids[$n]}; echo "job $n status $?"; done
cat out.1 out.2 out.3 out.4
(sleep 0.05; exit 7) & wait $!; echo "sleep status $?"
wait; echo done
"""
BASH_TRAPS = b"""
trap 'echo exit trap $?' EXIT
trap 'echo got usr1; n=$((n+1))' USR1
trap 'echo err at $LINENO' ERR
n=0
kill -USR1 $$; kill -USR1 $$
echo n=$n
false
f() { trap 'echo return from f' RETURN; echo in f "$@"; }
f a 'b c'
( trap 'echo sub term; exit 3' TERM; kill -TERM $BASHPID; sleep 5 ); echo "sub $?"
exit 5
"""
BASH_ARITH = b"""
fact() { (( $1 <= 1 )) && { echo 1; return; }; echo $(( $1 * $(fact $(($1 - 1))) )); }
fact 15
echo $(( 0xff ^ 0x0f )) $(( 7 ** 20 )) $(( -17 / 5 )) $(( -17 % 5 )) $(( 1 << 62 )) $(( 2#1011 + 36#zz ))
x=5; echo $(( x++ + ++x )) $x $(( x > 3 ? 10 : 20 ))
declare -i y=10; y+=5; echo $y
printf '%05d %x %o %e %.3f %s|%-8s|%8s\\n' 42 255 8 12345.678 2.5 str left right
printf '%q\\n' "a b'c"
echo $(( 9223372036854775807 + 1 ))
"""
BASH_TEXT = b"""
declare -A count
while read -r a b rest; do for w in $rest; do ((count[$w]++)); done; done < text
for w in $(printf '%s\\n' "${!count[@]}" | sort); do echo "$w=${count[$w]}"; done
s="The quick brown fox"
echo "${s^^}" "${s,,}" "${s// /_}" "${s#* }" "${s##* }" "${s%% *}" "${#s}" "${s:4:5}" "${s/quick/slow}"
[[ $s =~ ([a-z]+)\\ ([a-z]+)$ ]] && echo "${BASH_REMATCH[@]}"
a=(5 3 9 1); IFS=$'\\n' sorted=($(sort -n <<<"${a[*]}")); echo "${sorted[@]}" "${#a[@]}"
case $s in *brown*) echo match;; *) echo no;; esac
cat <<EOF
here $((1+2)) $(echo sub) \\$literal
EOF
cat <<'EOF'
raw $((1+2))
EOF
select_none() { local IFS=:; set -- a b c; echo "$*"; }; select_none
mapfile -t lines < <(head -3 text); echo "${#lines[@]}:${lines[1]}"
"""
BASH_PIPES = b"""
set -o pipefail
seq 1 2000 | awk '{s+=$1} END {print s}'
cat text | tr a-z A-Z | grep -c ALPHA
yes | head -n 3 | cat -n; echo "${PIPESTATUS[@]}"
false | true; echo $? "${PIPESTATUS[@]}"
{ echo out; echo err >&2; } 2>&1 | sort
exec 3>fd3; echo three >&3; exec 3>&-; cat fd3
mkfifo p; (echo through fifo > p &) ; cat p
diff <(sort text) <(sort -r text | tac) && echo same
echo a b c | { read x y z; echo "$z $y $x"; }
(cd sub && pwd | sed 's/.*\\///'; umask 027; umask)
coproc { while read l; do echo "<$l>"; done; }; echo hi >&${COPROC[1]}; read r <&${COPROC[0]}; echo $r
"""
SQL = b"""
create table t(id integer primary key, k text, v real);
with recursive c(n) as (select 1 union all select n+1 from c where n < 4000)
 insert into t select n, printf('key%05d', (n*7919)%4001), n*1.5/7 from c;
create index tk on t(k);
explain query plan select * from t where k='key00042';
select count(*), sum(v), min(k), max(k) from t;
select id, k, v from t where k between 'key00100' and 'key00105' order by k;
select k, group_concat(id) from (select substr(k,1,5) k, id from t where id<30) group by k;
create table u as select id%10 g, avg(v) a, total(v) s from t group by g;
select * from u order by g;
begin; update t set v=v+1 where id%2; delete from t where id>3500; commit;
select count(*), round(sum(v),6) from t;
select json_extract('{"a":[1,2,{"b":3}]}','$.a[2].b'), length(randomblob(9)), quote(x'00ff'), date('2024-02-29','+1 year');
pragma integrity_check;
vacuum;
"""
C_FILE = b"""
#include <stdio.h>
#include <string.h>
struct point { double x, y; int tag; };
static unsigned hash(const char *s) { unsigned h = 5381; while (*s) h = h * 33 ^ (unsigned char)*s++; return h; }
int classify(int c) { switch (c) { case 1: return 10; case 2: return 21; case 3: return 35; case 7: return 2; case 9: return 77; } return -1; }
long long mul(long long a, long long b) { return a * b / 7; }
double norm(struct point *p, int n) { double s = 0; for (int i = 0; i < n; i++) s += p[i].x * p[i].x + p[i].y * p[i].y; return s; }
int main(int argc, char **argv) { struct point p[3] = {{1,2,3},{4,5,6},{7,8,9}};
  printf("%u %d %lld %f\\n", hash(argv[0]), classify(argc), mul(argc, 1LL<<40), norm(p, 3)); return 0; }
"""
MAKEFILE = b"""
OBJ := $(patsubst %.in,%.out,$(sort $(wildcard *.in)))
all: $(OBJ) sum
%.out: %.in
\t@tr a-z A-Z < $< > $@
sum: $(OBJ)
\tcat $^ > $@
\t@for o in $(OBJ); do echo made $$o; done
\t@echo $(words $(OBJ)) $(foreach o,$(OBJ),[$(o)])
.PHONY: all
"""
AWK = b"""
BEGIN { FS = " "; srand(1) }
{ n[$3]++; s[$3] += $2; len += length($0) }
END {
  for (k in n) keys[++m] = k
  for (i = 1; i <= m; i++) for (j = i + 1; j <= m; j++) if (keys[j] < keys[i]) { t = keys[i]; keys[i] = keys[j]; keys[j] = t }
  for (i = 1; i <= m; i++) printf "%s %d %.4f\\n", keys[i], n[keys[i]], s[keys[i]] / n[keys[i]]
  print len, sin(1), exp(1), atan2(1, 2), sqrt(2), int(-3.7), 2 ^ 0.5, log(10)
  print substr("hello", 2, 3), index("hello", "l"), toupper("abc"), gsub(/a/, "b", $0), match("foobar", /o+/), RSTART, RLENGTH
}
"""
SED = b"""
1!G;h;$!d
"""
LUA = b"""
local t = {} for i = 1, 3000 do t[i] = (i * 7919) % 3001 end table.sort(t, function(a, b) return a > b end)
print(t[1], t[1500], #t, math.type(1), math.type(1.0), 7 // 2, 7 % -3, 7.5 // 2, 2^0.5, 1 << 40, 3 | 4)
local co = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a * i) end return "end" end)
print(co(1), co(2), co(3), co(4))
print(string.format("%5.2f %q %x %s", math.pi, "a\\nb", 255, tostring(nil)), ("x"):rep(5, "-"), ("hello world"):gsub("o", "0"))
print(pcall(error, {code = 1}), select("#", 1, nil, 3), tostring(1e100), 0x7fffffffffffffff + 1 == math.mininteger)
local s = 0.0 for i = 1, 20000 do s = s + math.sin(i) * math.exp(-i / 1000) end print(string.format("%.12f", s))
for k, v in string.gmatch("a=1, b=2", "(%w+)=(%w+)") do io.write(k, v, ";") end print()
print(string.pack("<i4d", 7, 2.5):byte(1, -1)) print(utf8.char(228, 8364), #utf8.char(8364))
setmetatable(t, {__index = function(_, k) return k .. "!" end}) print(t.foo, collectgarbage("count") > 0)
"""


def bash(script: bytes, **files: bytes) -> dict[str, bytes]:
    """Return the files of a bash case."""
    return {"s.sh": script, **files}


def sh(
    id: str, command: str, quick: bool = False, slow_tiers: bool = False, **files: bytes
) -> Case:
    """Return a case that is one bash command line."""
    return Case(id, ("/bin/bash", "-c", command), b"", files, quick, slow_tiers)


BASH = ("/bin/bash", "s.sh")
CASES = (
    Case("busybox-echo", ("/bin/busybox", "echo", "hello", "world"), quick=True, slow_tiers=True),
    Case("busybox-sh", ("/bin/busybox", "sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; echo $i | md5sum")),
    Case("busybox-awk", ("/bin/busybox", "awk", "BEGIN{for(i=0;i<5000;i++)s+=i*i;print s, length(s) / 7}"), slow_tiers=True),
    Case("busybox-gzip", ("/bin/busybox", "gzip", "-c"), BIG),
    Case("busybox-find", ("/bin/busybox", "find", ".", "-type", "f"), files={"a/b": b"1", "c": b"2"}, slow_tiers=True),
    Case("true", ("/bin/true",), quick=True, slow_tiers=True),
    Case("false", ("/bin/false",), slow_tiers=True),
    Case("dash-fact", ("/bin/dash", "-c", "f(){ [ $1 -le 1 ] && echo 1 && return; a=$(f $(($1-1))); echo $(($1*a)); }; f 9")),
    Case("dash-killed", ("/bin/dash", "-c", "echo before; kill -9 $$; echo after"), slow_tiers=True),
    Case("dash-signal-status", ("/bin/dash", "-c", "sh -c 'kill -SEGV $$'; echo $?; sh -c 'kill -TERM $$'; echo $?"), slow_tiers=True),
    Case("bash-jobs", BASH, files=bash(BASH_JOBS)),
    Case("bash-traps", BASH, files=bash(BASH_TRAPS), quick=True),
    Case("bash-arith", BASH, files=bash(BASH_ARITH)),
    Case("bash-text", BASH, files=bash(BASH_TEXT, text=TEXT)),
    Case("bash-pipes", BASH, files=bash(BASH_PIPES, text=TEXT) | {"sub/x": b""}),
    Case("bash-error", ("/bin/bash", "-c", "nosuchcommand; echo $?; ./notexec; echo $?; . ./missing; echo $?"), files={"notexec": b"x"}),
    Case("bash-stdin", ("/bin/bash",), b"read a b\none two three\necho $b $a\nexit 9\n", slow_tiers=True),
    sh("bash-subshells", "x=1; (x=2; (x=3; echo $x); echo $x); echo $x; y=$(echo $(echo $(echo deep))); echo $y"),
    sh("bash-bigheredoc", "cat <<X | md5sum\n" + "0123456789abcdef\n" * 5000 + "X\n"),
    sh("bash-recursion", "f() { (( $1 == 0 )) || { f $(($1-1)); }; echo -n $1,; }; f 300; echo"),
    Case("ls", ("/bin/ls", "-1F", "--group-directories-first"), files={"d/x": b"", "b": b"1", "a": b"22"}, quick=True),
    Case("ls-missing", ("/bin/ls", "nosuchfile"), slow_tiers=True),
    Case("cat-n", ("/bin/cat", "-nA"), TEXT[:900] + b"\t\x01\xff\n", slow_tiers=True),
    Case("sort", ("/usr/bin/sort", "-k2,2n", "-k3", "--parallel=2"), BIG),
    Case("sort-uniq", ("/bin/bash", "-c", "tr ' ' '\\n' | sort | uniq -c | sort -k1,1nr -k2 | head -25"), BIG),
    Case("sha512sum", ("/usr/bin/sha512sum",), BYTES, quick=True),
    Case("digests", ("/bin/bash", "-c", "for h in md5 sha1 sha224 sha256 sha384 b2; do ${h}sum data; cksum data; done"), files={"data": BYTES}),
    Case("od", ("/usr/bin/od", "-A", "x", "-t", "x1z", "-t", "f8"), BYTES[:512], slow_tiers=True),
    Case("seq-float", ("/usr/bin/seq", "-f", "%.6g", "0.1", "0.37", "30"), slow_tiers=True),
    Case("numfmt", ("/usr/bin/numfmt", "--to=iec", "1", "1500", "123456789", "999999999999"), slow_tiers=True),
    Case("factor", ("/usr/bin/factor", "600851475143", "1000000007", "18446744073709551557", "999999866000004473"), quick=True),
    Case("expr-date", ("/bin/bash", "-c", "expr 17 '*' 3; date -u -d @1700000000 '+%F %T %j %V'; date -d '2024-02-29 +1 month' +%F; expr match abcde 'ab\\(.*\\)'")),
    Case("coreutils-mix", ("/bin/bash", "-c", "split -l 100 t p; wc p??; paste paa pab | head -3; cut -d' ' -f2-3 t | nl | tail -4; comm -12 paa pab; join <(sort -k1b,1 paa) <(sort -k1b,1 paa) | wc; fold -w 30 paa | head -5; base64 t | head -2; shuf --random-source=t -i 1-20 | tr '\\n' ' '; tac paa | head -1; stat -c '%s %F %a' t; du -b t; truncate -s 5 t; dd if=paa bs=100 count=2 status=none | tail -1"), files={"t": TEXT}),
    Case("file-ops", ("/bin/bash", "-c", "mkdir -p a/b/c; cp -r a d; ln -s ../x a/l; readlink a/l; ln a/../s.sh hard; mv d e; rm -r a; touch -d @1000000 e/t hard; stat -c '%Y %h %s' e/t hard; chmod 751 e; stat -c %a e; rmdir e 2>&1; find . | sort; test -L nosuch || echo no; install -m 600 s.sh q; ls -l q | cut -c1-10"), files={"s.sh": b"data\n"}),
    Case("timeout", ("/usr/bin/timeout", "0.2", "/bin/sleep", "10"), slow_tiers=True),
    Case("xargs", ("/usr/bin/xargs", "-n", "2", "-P", "1", "echo", "pair"), b"1 2 3 4 5 6 7\n"),
    Case("env-print", ("/usr/bin/env", "-i", "A=1", "B=two words", "/usr/bin/printenv"), slow_tiers=True),
    Case("nice-nohup", ("/bin/bash", "-c", "nice -n 0 echo a; tee f1 f2 < s.sh; cmp f1 f2 && echo eq; cmp f1 /etc/group; getopt -o ab: -- -a -b x y; yes abc | head -c 10"), files={"s.sh": b"data\n"}),
    Case("xz-roundtrip", ("/bin/bash", "-c", "xz -9e -k -T1 t; xz -l --robot t.xz | tail -1; xz -dc t.xz | cmp - t && md5sum < t.xz; xz --format=lzma -c t | xz -d | md5sum; xz -t s.sh"), files={"t": BYTES, "s.sh": b"no"}),
    Case("xz-threads", ("/bin/bash", "-c", "xz -1 -T2 --block-size=30000 -c t | xz -dc -T2 | md5sum"), files={"t": BYTES}),
    Case("bzip2-roundtrip", ("/bin/bash", "-c", "bzip2 -9 -k t; md5sum < t.bz2; bzip2 -dc t.bz2 | cmp - t && echo same; head -c 3000 t.bz2 | bzip2 -t; echo $?"), files={"t": BYTES}),
    Case("bzip2", ("/bin/bzip2", "-c"), TEXT * 3, quick=True),
    Case("zstd-roundtrip", ("/bin/bash", "-c", "zstd -q -19 t -o t.zst; md5sum < t.zst; zstd -q -dc t.zst | cmp - t && echo same; zstd -q -1 --long -c t | zstd -dcq | md5sum; zstd -q -T2 -3 -c t | zstd -dcq | md5sum"), files={"t": BYTES}),
    Case("gzip-roundtrip", ("/bin/bash", "-c", "gzip -9nk t; md5sum < t.gz; gzip -dc t.gz | cmp - t && echo same; zcat t.gz | wc -c; gzip -t s.sh; gzip -1nc t | md5sum"), files={"t": BYTES, "s.sh": b"no"}),
    Case("gzip", ("/bin/gzip", "-9nc"), TEXT * 3, quick=True),
    Case("7z", ("/bin/bash", "-c", "7z a -mx=5 -mmt=1 -bd a.7z t > /dev/null; 7z t a.7z | grep Everything; 7z x -so a.7z t | cmp - t && echo same; 7z h -scrcSHA256 t | grep ^SHA; rm a.7z"), files={"t": BYTES}),
    Case("tar", ("/bin/bash", "-c", "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf a.tar d; md5sum < a.tar; tar tvf a.tar; mkdir x; tar -C x -xzf <(gzip -nc a.tar); diff -r d x/d && echo same; tar -cJf a.txz d; tar tJf a.txz; rm -r x a.txz"), files={"d/1": TEXT, "d/e/2": BYTES[:5000], "d/e/3": b""}),
    Case("openssl-digests", ("/bin/bash", "-c", "for d in md5 sha1 sha224 sha256 sha384 sha512 sha3-256 shake128 blake2b512 blake2s256 sm3 ripemd160; do openssl dgst -$d t; done; openssl dgst -sha256 -hmac key t"), files={"t": BYTES}),
    Case("openssl-sha256", ("/usr/bin/openssl", "dgst", "-sha256"), BYTES, quick=True),
    Case("openssl-ciphers", ("/bin/bash", "-c", "K=000102030405060708090a0b0c0d0e0f; for c in aes-128-cbc aes-128-ctr aes-128-ofb camellia-128-cbc aria-128-cbc sm4-cbc; do openssl enc -$c -K $K -iv $K -in t | md5sum; openssl enc -$c -K $K -iv $K -in t | openssl enc -d -$c -K $K -iv $K | cmp - t; done; openssl enc -chacha20 -K $K$K -iv $K -in t | md5sum; openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -S 0102030405060708 -in t | md5sum"), files={"t": BYTES}),
    Case("openssl-keys", ("/bin/bash", "-c", "openssl genrsa -out k 1024 2>/dev/null; openssl pkey -in k -pubout -out p; openssl dgst -sha256 -sign k -out sig t; openssl dgst -sha256 -verify p -signature sig t; openssl dgst -sha1 -verify p -signature sig t 2>/dev/null; wc -c < sig; openssl prime 1000000007; openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt key:secret -kdfopt salt:salt HKDF; openssl passwd -6 -salt ab cd; rm k p sig 2>&1"), files={"t": TEXT}),
    Case("openssl-ecdh", ("/bin/bash", "-c", "openssl pkey -in k1 -pubout -out p1; openssl pkey -in k2 -pubout -out p2; openssl pkeyutl -derive -inkey k1 -peerkey p2 | od -An -tx1; openssl pkeyutl -derive -inkey k2 -peerkey p1 | od -An -tx1"), files={"k1": b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n-----END PRIVATE KEY-----\n", "k2": b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIF2rCH5iSopLeeF/i4OADuZvO7EpJhhi2Rwviyf/iODr\n-----END PRIVATE KEY-----\n"}),
    Case("sqlite-index", ("/usr/bin/sqlite3", "-batch", "t.db"), SQL),
    Case("sqlite-memory", ("/usr/bin/sqlite3", ":memory:", "select sqlite_version() > '3', 1/3.0, 10/3, 'a'||'b', round(2.5), abs(-7), typeof(1.0), 9223372036854775807 + 1;"), quick=True),
    Case("gcc-c", ("/bin/bash", "-c", "gcc-12 -O2 -c t.c -o t.o && objdump -d -r --no-show-raw-insn t.o && nm t.o && size t.o && readelf -S t.o | md5sum; rm -f *.s"), files={"t.c": C_FILE}),
    Case("gcc-S", ("/usr/bin/gcc-12", "-O1", "-S", "-fno-ident", "-o", "-", "t.c"), files={"t.c": b"int f(int a, int b) { return a > b ? a * 3 : b / 5; }\n"}),
    Case("gcc-link-run", ("/bin/bash", "-c", "gcc-12 -O1 t.c -o t -lm && ./t a b; rm t"), files={"t.c": C_FILE}),
    Case("gcc-error", ("/usr/bin/gcc-12", "-fdiagnostics-color=never", "-Wall", "-c", "t.c"), files={"t.c": b"int f(void) { int x; retrun y; }\n"}),
    Case("as-ld", ("/bin/bash", "-c", "as --32 t.s -o t.o && ld -m elf_i386 t.o -o t && ./t; echo $?; strip t; objdump -s -j .data t; rm t"), files={"t.s": b".globl _start\n_start: mov $4,%eax\nmov $1,%ebx\nmov $m,%ecx\nmov $3,%edx\nint $0x80\nmov $1,%eax\nmov $42,%ebx\nint $0x80\n.data\nm: .ascii \"hi\\n\"\n"}),
    Case("cpp", ("/usr/bin/cpp-12", "-P"), b"#define F(x) ((x)*(x))\n#if F(3) == 9\nF(a+b) __LINE__\n#else\nno\n#endif\n", quick=True),
    Case("make", ("/usr/bin/make", "-s", "-j2"), files={"Makefile": MAKEFILE, "a.in": b"abc\n", "b.in": b"def\n"}),
    Case("make-error", ("/usr/bin/make",), files={"Makefile": b"all: x\n\t@echo never\nx:\n\t@exit 3\n"}),
    Case("gawk", ("/usr/bin/gawk", "-f", "s.awk", "t"), files={"s.awk": AWK, "t": TEXT}, quick=True),
    Case("mawk", ("/usr/bin/mawk", "-f", "s.awk", "t"), files={"s.awk": AWK, "t": TEXT}, slow_tiers=True),
    Case("gawk-ext", ("/usr/bin/gawk", "-M", 'BEGIN { print 2^200, 100!=99; n=split("c,a,b",x,","); asort(x); print x[1], strftime("%F",0,1), gensub(/(.)x/,"\\\\1y","g","axbx"), and(12,10), strtonum("0x1f"); "echo sub" | getline l; print l; printf "%c%5s|%-5s|%05.1f|%e\\n", 65, "ab", "cd", 3.14159, 12345.678 }')),
    Case("sed", ("/bin/sed", "-E", "-n", "s/([0-9]+) ([0-9]+) (.*)/\\3:\\2/; /alpha/{s/a/A/g;p}; $="), TEXT, quick=True),
    Case("sed-tac", ("/bin/sed", "-n", "-f", "s.sed", "t"), files={"s.sed": b"1!G;h;$p", "t": TEXT[:3000]}, slow_tiers=True),
    Case("sed-inplace", ("/bin/bash", "-c", "sed -i.bak 's/alpha/ALPHA/;y/xyz/XYZ/;2,4d;/mu/a added' t; md5sum t t.bak"), files={"t": TEXT}),
    Case("grep", ("/bin/grep", "-nE", "(alpha|beta) .*(pi|rho)$"), TEXT, slow_tiers=True),
    Case("grep-perl", ("/bin/grep", "-oP", "(?<=alpha )\\w+(?= \\w+a\\b)"), BIG),
    Case("find", ("/usr/bin/find", ".", "-name", "*.c", "-size", "-2", "-exec", "wc", "-c", "{}", ";"), files={"a/x.c": b"12", "y.c": b"345", "z.h": b""}),
    Case("diff", ("/usr/bin/diff", "-u", "--label=a", "--label=b", "x", "y"), files={"x": text(200), "y": text(200).replace(b" mu", b" MU")}, slow_tiers=True),
    Case("diff3-patch", ("/bin/bash", "-c", "diff -u --label x --label y x y > p; cp x q; patch -s q p; cmp q y && echo patched; diff3 -m x y z | md5sum; sdiff -w 60 x y | head -3; printf '2,3d\\nw\\nq\\n' | ed -s q; wc -l q"), files={"x": text(50), "y": text(50).replace(b" mu", b" MU"), "z": text(50) + b"end\n"}),
    Case("bc", ("/usr/bin/bc", "-lq"), b"scale=40\n4*a(1)\ne(1)\n2^300\nsqrt(2)\ns(1)+c(1)\nfor(i=0;i<5;i++) i^i\ndefine f(n){if(n<2)return(n);return(f(n-1)+f(n-2))}\nf(15)\nobase=16\n255\n", quick=True),
    Case("dc", ("/usr/bin/dc", "-e", "20k 2v p 3 100^ p 16o 255p [d1-d0<a]sa 5lax f"), slow_tiers=True),
    Case("jq", ("/usr/bin/jq", "-c", "[.[]|select(.n>3)|{n,s:(.s|ascii_upcase)}]|sort_by(-.n),(map(.n)|add),(.[0]|tojson)"), b'[{"n":5,"s":"five"},{"n":2,"s":"two"},{"n":9.25,"s":"nine\\u00e4"}]'),
    Case("m4", ("/usr/bin/m4",), b"define(`fib',`ifelse(eval($1<2),1,$1,`eval(fib(decr($1))+fib(decr(decr($1))))')')fib(14) len(`hello') translit(`abc',`a-c',`x-z') format(`%05d',42) syscmd(`echo sys')", quick=True),
    Case("file", ("/usr/bin/file", "-b", "a", "b", "c", "/bin/ls"), files={"a": b"\x89PNG\r\n\x1a\n" + bytes(20), "b": b"#!/bin/sh\n", "c": TEXT}),
    Case("lua", ("/usr/bin/lua5.4", "s.lua"), files={"s.lua": LUA}, quick=True),
    Case("lua-error", ("/usr/bin/lua5.4", "-e", "local t = nil; print(t.x)"), slow_tiers=True),
    Case("ldso-list", ("/bin/bash", "-c", "LD_TRACE_LOADED_OBJECTS=1 /bin/sed | sed 's/(.*//' | grep -v linux-gate | sort; LD_PRELOAD=libm.so.6 /bin/echo x; LD_DEBUG=nosuch /bin/true; echo $?")),
    Case("setsid-ps", ("/bin/bash", "-c", "setsid sh -c 'echo $(( $$ == $(cut -d\" \" -f6 /proc/self/stat) ))' | cat; flock l echo locked; getconf PAGESIZE; ulimit -n > /dev/null && echo ok; hexdump -C < s.sh; rev s.sh; col < s.sh; kill -l 11"), files={"s.sh": b"data\n"}),
)  # fmt: skip
