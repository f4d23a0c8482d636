"""Interpreters, compilers and JITs of Debian, at work long enough for hot code to become regions.

Those marked *more* need packages that only the slow tests fetch; their native run is a live one.
"""

# ruff: noqa: E501 - a table of programs

from __future__ import annotations

from tests.debian_case import Case, binary, text

# Packages besides those of tests/debian.py.
PACKAGES = (
    "bash",
    "coreutils",
    "mawk",
    "luajit",
    "gforth",
    "pari-gp",
    "nasm",
    "binutils",
    "tcl8.6",
    "php8.2-cli",
    "sbcl",
    "guile-3.0",
    "swi-prolog-nox",
    "groff",
    "ghostscript",
    "git",
    "openssh-client",
    "gpg",
    "ruby",
    "nodejs",
    "brotli",
    "lz4",
    "zip",
    "unzip",
    "rhash",
    "cpio",
    "rsync",
    "qemu-user",
    "ocaml-nox",
    "imagemagick-6.q16",
)
LUAJ = b"""
local function fib(n) if n<2 then return n end return fib(n-1)+fib(n-2) end print(fib(30))
local bit=require'bit' local h=0 for i=1,2e7 do h=bit.bxor(bit.rol(h,5),i) end print(h)
local t={} for i=1,200000 do t[i]=(i*7919)%200003 end table.sort(t) print(t[1],t[100000])
local s=0 for i=1,1e7 do s=s+math.sin(i)/i end print(string.format('%.15g',s))
local c={} for w in (('the quick brown fox '):rep(20000)):gmatch('%a+') do c[w]=(c[w] or 0)+1 end print(c.the,c.fox)
local ffi=require'ffi' ffi.cdef[[typedef struct {double x,y;} P; int abs(int);]] local a=ffi.new('P[1000]') for k=1,1000 do for i=0,999 do a[i].x=a[i].x+i*k a[i].y=a[i].y+a[i].x*0.5 end end print(a[999].x,a[999].y,ffi.C.abs(-5))
for i=1,100 do local f=loadstring('return '..i..'*2')() assert(f==i*2) end
print(pcall(function() local x=nil; return x.y end))
"""
NODE = b"""
const crypto=require('crypto'), zlib=require('zlib');
function fib(n){return n<2?n:fib(n-1)+fib(n-2)} console.log(fib(24));
let h=0; for(let i=0;i<2e6;i++){h=(Math.imul(h,31)+i)|0} console.log(h);
let a=new Float64Array(20000).map((_,i)=>Math.sin(i)); a.sort(); console.log(a[0],a[10000],a.reduce((x,y)=>x+y*y,0));
console.log(crypto.createHash('sha256').update('x'.repeat(1e6)).digest('hex'), zlib.gunzipSync(zlib.gzipSync('abc'.repeat(1e5))).length);
const o={}; for(let i=0;i<2e4;i++) o['k'+(i*7919%20011)]=i; console.log(Object.keys(o).length, JSON.stringify(o).length);
console.log('foo bar baz foo'.replace(/(\\w+) (\\w+)/g,'$2 $1'), [..."\\u00e4\\u20ac"].length, 2n**200n % 1000007n);
(async()=>{for(let i=0;i<3;i++) await new Promise(r=>setTimeout(r,5)); console.log('timers')})();
process.on('exit',c=>console.log('exit',c)); class A{#x=1;get x(){return this.#x}} console.log(new A().x);
const {Worker}=require('worker_threads'); const w=new Worker("const {parentPort}=require('worker_threads'); let s=0; for(let i=0;i<1e6;i++) s+=i%7; parentPort.postMessage(s)",{eval:true}); w.on('message',m=>console.log('worker',m)); w.on('exit',c=>console.log('wexit',c));
"""
SBCL = b"""
(defun fib (n) (declare (optimize speed) (fixnum n)) (if (< n 2) n (+ (the fixnum (fib (- n 1))) (the fixnum (fib (- n 2))))))
(print (fib 30))
(print (mod (expt 3 5000) 1000000007))
(print (loop for i from 1 to 3000 sum (/ 1d0 i)))
(let ((h (make-hash-table :test 'equal))) (dotimes (i 50000) (setf (gethash (format nil "k~d" (mod (* i 7919) 5003)) h) i)) (print (hash-table-count h)))

(print (handler-case (/ 1 (- 1 1)) (division-by-zero () 'div0)))
(print (handler-case (/ 1d0 (- 1d0 1d0)) (division-by-zero () 'fdiv0)))
(print (let ((l (loop for i below 100000 collect (mod (* i 7919) 100003)))) (subseq (sort l #'<) 0 5)))
(gc :full t) 
(defmacro m (x) `(* ,x ,x)) (print (m 12345678901)) (terpri)
"""
RUBY = b"""
def fib(n) n<2 ? n : fib(n-1)+fib(n-2) end
puts fib(23); puts (1..3000).reduce(:*).to_s.size, 3**500 % 1000007
h=Hash.new(0); 60000.times{|i| h["k#{i*7919%1009}"]+=i}; puts h.size, h['k5']
puts (1..30000).map{|i| Math.sin(i)}.sort.first(3).inspect, 'hello world'.gsub(/o(.)?/){|m| m.upcase}
t=4.times.map{|i| Thread.new{s=0; 20000.times{|k| s+=k*i}; s}}; puts t.map(&:value).inspect
q=Queue.new; th=Thread.new{3.times{|i| q<<i; sleep 0.01}}; puts 3.times.map{q.pop}.inspect; th.join
r,w=IO.pipe; pid=fork{r.close; w.puts 'child'; exit! 3}; w.close; puts r.read; Process.wait pid; puts $?.exitstatus
Signal.trap('USR1'){puts 'usr1'}; Process.kill('USR1',$$); sleep 0.05
f=Fiber.new{|x| y=Fiber.yield x+1; y*2}; puts f.resume(1), f.resume(10)
puts `echo sub`.inspect, [1.0/3,1e100,0.1+0.2].inspect, Rational(1,3)+1, Complex(1,2)**3
begin; raise ArgumentError,'bad'; rescue => e; puts e.class, e.message; end
puts ObjectSpace.count_objects.is_a?(Hash), GC.start.inspect; def r(n) r(n+1) end; begin; r(0); rescue SystemStackError; puts 'deep'; end
"""
PHP = b"""<?php
function fib($n){return $n<2?$n:fib($n-1)+fib($n-2);} echo fib(25),"\\n";
$h=0; for($i=0;$i<2000000;$i++) $h=(($h*31)^$i)&0x7fffff; echo $h,"\\n";
$a=[]; for($i=0;$i<100000;$i++) $a[]=($i*7919)%100003; sort($a); echo $a[0],' ',$a[10000],"\\n"; 
echo md5(str_repeat('x',100000)),' ',crc32('abc'),' ',hash('sha256','abc'),' ',strlen(serialize($a)),"\\n";
echo preg_replace_callback('/\\d+/',fn($m)=>$m[0]*2,'a1b22c333'),json_encode(['a'=>1.5,'b'=>[null,true]]),"\\n";
printf("%.15f %e %s\\n",M_PI,12345.678,number_format(1234567.891,2)); var_dump(0.1+0.2, 7%-3, intdiv(-7,2), PHP_INT_MAX+1);
function g(){for($i=0;$i<3;$i++) yield $i=>$i**2;} foreach(g() as $k=>$v) echo "$k=$v "; echo "\\n";
try{ intdiv(1,0);}catch(DivisionByZeroError $e){echo get_class($e),"\\n";} echo (function(){static $x=1; return ++$x;})(),"\\n"; exit(7);
"""
TCL = b"""
proc fib n {if {$n<2} {return $n}; expr {[fib [expr {$n-1}]]+[fib [expr {$n-2}]]}}
puts [fib 19]; puts [expr {2**200 % 1000007}]; set s 0; for {set i 0} {$i<100000} {incr i} {set s [expr {($s*31+$i)%1000003}]}; puts $s
array set a {}; foreach w [split [string repeat "the quick brown fox " 500]] {incr a($w)}; puts [lsort [array names a]]; puts [regsub -all {(\\w)(\\w*)} "hello world" {\\2\\1}]
puts [format "%.10f %x %s" [expr {atan(1)*4}] 255 [clock format 0 -gmt 1 -format %Y]]; puts [catch {error boom} m]$m; after 10 {set done 1}; vwait done; puts [exec echo sub]; puts [lsort -integer {5 3 10 1}] ; exit 4
"""
GUILE = b"""
(define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))) (display (fib 27)) (newline)
(display (modulo (expt 7 3000) 1000000007)) (newline) (use-modules (ice-9 regex) (srfi srfi-1) (ice-9 threads))
(display (fold + 0 (map (lambda (x) (sin x)) (iota 50000)))) (newline) (display (regexp-substitute/global #f "[aeiou]" "hello world" 'pre "X" 'post)) (newline)
(display (map join-thread (map (lambda (i) (call-with-new-thread (lambda () (let loop ((k 0) (s 0)) (if (= k 200000) s (loop (+ k 1) (+ s (* i k)))))))) '(1 2 3)))) (newline)
(display (call/cc (lambda (k) (dynamic-wind (lambda () (display 'in)) (lambda () (k 42)) (lambda () (display 'out)))))) (newline) (display (/ 1 3)) (display (sqrt -4)) (newline)
(let ((h (make-hash-table))) (do ((i 0 (+ i 1))) ((= i 100000)) (hash-set! h (modulo (* i 7919) 5003) i)) (display (hash-count (const #t) h))) (newline) (exit 3)
"""
NASM = b"""
%macro mk 2
%assign i 0
%rep %1
 %2 eax,[ebx+i*4]
 mov [edi+i],al
 %assign i i+1
%endrep
%endmacro
section .text
global _start
_start: mk 2000,add
mk 2000,xor
 mov eax,1
 int 0x80
times 1000 db $-$$ & 0xff
section .data
 dd 1.5, 3.25e10
 dq 1.1
 dt 1.2
"""
PS = b"""%!PS
/Courier findfont 12 scalefont setfont 50 700 moveto (Hello) show
0 1 200 { /i exch def i 3 mul 100 moveto i 3 mul 100 i sin 80 mul add lineto } for stroke
300 400 100 0 360 arc gsave 0.2 0.5 0.8 setrgbcolor fill grestore stroke
/fib { dup 2 lt {} { dup 1 sub fib exch 2 sub fib add } ifelse } def 17 fib =
100 100 translate 30 rotate 0 0 moveto 50 50 100 0 150 80 curveto 4 setlinewidth stroke
/s 10 string def 123456 s cvs print (\\n) print 2 sqrt = 1 3 div = showpage
"""
GROFF = b""".TL
Title
.AU
Author
.NH 1
Section
.LP
"""
GROFF += (
    b"Some words that will be filled and hyphenated appropriately because paragraphs want it. " * 60
)
GROFF += b"""
.TS
tab(;) box;
l r.
a;1
bcd;22.5
.TE
.EQ
x sup 2 over {sqrt y} = int from 0 to inf e sup {-t} dt
.EN
"""
PYN = b"""
import threading, time, signal, os, sys, zlib, hashlib, array, random, re
def nq(n):
    def f(r,c,d,e): return sum(f(r+1,c|1<<k,d|1<<(r+k),e|1<<(r-k+n)) for k in range(n) if not (c>>k&1 or d>>(r+k)&1 or e>>(r-k+n)&1)) if r<n else 1
    return f(0,0,0,0)
print(nq(6))
a=array.array('d',(i*0.5 for i in range(3000))); print(sum(x*y for x,y in zip(a,reversed(a))).hex())
def mandel(w):
    out=[]
    for y in range(w):
        for x in range(w):
            z=0j; c=complex(x*3/w-2,y*2/w-1); n=0
            while abs(z)<2 and n<40: z=z*z+c; n+=1
            out.append(n)
    return zlib.crc32(bytes(out))
print(mandel(40))
got=[]
signal.signal(signal.SIGALRM, lambda *a: got.append(1)); signal.setitimer(signal.ITIMER_REAL, .005, .005)
def work(n, r): r[n]=sum(pow(i, n+3, 1009) for i in range(6000))
r={}; ts=[threading.Thread(target=work,args=(n,r)) for n in range(4)]; [t.start() for t in ts]; [t.join() for t in ts]; print(sorted(r.items()))
signal.setitimer(signal.ITIMER_REAL, 0); print(len(got)>0)
s=[random.Random(3).random() for _ in range(1)]; R=random.Random(1); print(sorted(R.random() for _ in range(5000))[::1000])
print(2**20000 % (10**50), len(str(3**5000)), len(re.findall(r'(a+)(b|c)+?d', 'aabcd'*2000)))
"""
ML = b"""
let rec fib n = if n < 2 then n else fib (n-1) + fib (n-2)
module M = Map.Make(String)
exception E of int
let () = Printf.printf "%d\\n" (fib 27);
  let m = ref M.empty in for i = 0 to 30000 do m := M.add (string_of_int (i*7919 mod 10007)) i !m done; Printf.printf "%d %d\\n" (M.cardinal !m) (M.find "77" !m);
  let a = Array.init 50000 (fun i -> float_of_int (i*7919 mod 50021) *. 0.37) in Array.sort compare a; Printf.printf "%.10f %.10f\\n" a.(100) (Array.fold_left (fun s x -> s +. sqrt x) 0. a);
  (try raise (E 5) with E n -> Printf.printf "E %d\\n" n); (try ignore (1/(fib 1 - 1)) with Division_by_zero -> print_endline "div0");
  let b = Buffer.create 10 in for i = 0 to 20000 do Buffer.add_string b (Printf.sprintf "%x" i) done; print_endline (Digest.to_hex (Digest.string (Buffer.contents b)));
  Printf.printf "%Ld %ld %s\\n" (Int64.mul 123456789012L 987654321L) (Int32.shift_left 1l 31) (String.concat "," (List.map string_of_int (List.sort compare [5;3;9])));
  let rec deep n = 1 + deep n in (try ignore (deep 0) with Stack_overflow -> print_endline "overflow"); exit 3
"""
FORTH = b""": fib dup 2 < if else dup 1- recurse swap 2 - recurse + then ; 27 fib . cr
create buf 100000 allot : sieve 317 2 do i 0> if buf i + c@ 0= if 100000 i dup * do 1 buf i + c! j +loop then then loop 0 100000 2 do buf i + c@ 0= if 1+ then loop ; sieve . cr
variable h 0 h ! : hash 2000000 0 do h @ 31 * i xor h ! loop ; hash h @ u. cr
: f 0e 1000 1 do 1e i s>f f/ f+ loop ; f f. cr  2e fsqrt 15 set-precision f. pi f. 1e fexp fe. cr
: c 10 0 do i . loop ; c cr s" hello" type cr 1 2 3 .s cr 123456789. d. hex ff . decimal cr
: d0 1 0 / ; : m0 8 @ ;
' abort catch . ' d0 catch . ' m0 catch . ' fib catch . cr 100000000000. 3. d+ d. cr bye
"""
LUA = b"""
local function A(i,j)
local ij=i+j-1 return 1.0/(ij*(ij-1)*0.5+i) end
local n=120
local u,v,t={}, {}, {} for i=1,n do u[i]=1 end
local function Av(x,y) for i=1,n do
local a=0 for j=1,n do a=a+x[j]*A(i,j) end y[i]=a end end for i=1,8 do Av(u,t) Av(t,v) u,v=v,u end
local s=0 for i=1,n do s=s+u[i] end print(string.format('%.12f',s))
local q={} for i=1,9 do q[i]=i end
local cnt,flips=0,0
local function perm(k) if k==1 then cnt=cnt+q[1] return end for i=1,k do perm(k-1)
local j=(k%2==0) and i or 1 q[j],q[k]=q[k],q[j] end end perm(8) print(cnt)
local s={} for i=1,100000 do s[#s+1]=string.format('%d:%s',i,('x'):rep(i%7)) end print(#table.concat(s)) print((table.concat(s)):find('99999:xxxx',1,true))
"""
PROLOG = b"""
fib(0,0). fib(1,1). fib(N,F):-N>1,A is N-1,B is N-2,fib(A,X),fib(B,Y),F is X+Y.
q(N,Q):-numlist(1,N,L),permutation(L,Q),safe(Q). safe([]). safe([H|T]):-na(H,T,1),safe(T). na(_,[],_). na(Q,[H|T],D):-Q=\\=H+D,Q=\\=H-D,D1 is D+1,na(Q,T,D1).
:- use_module(library(lists)). :- use_module(library(apply)). :- use_module(library(yall)).
main:-fib(18,F),writeln(F),q(8,Q),writeln(Q),X is 7**300 mod 1000007,writeln(X),Y is sin(1.0)+exp(1)/3,writeln(Y),findall(K,(between(1,2000,I),K is I*7919 mod 2003),Ks),msort(Ks,S),nth0(1000,S,Z),writeln(Z),thread_create(writeln(thread),T),thread_join(T),catch(_ is 1/0,error(E,_),(writeln(E))),atom_codes(A,"xyz"),writeln(A),numlist(1,30000,NL),foldl([P,Q1,R]>>(R is (P*31+Q1) mod 1000003),NL,0,H),writeln(H).
"""
GP = b"""
factor(2^101-1)
prime(20000)
bnfinit(x^3-x-7).no
ellanalyticrank(ellinit([0,0,1,-7,6]))[1]
\\p 200
Pi
zeta(3)
sum(i=1,50000,1./i)
isprime(10^60+7)
matdet(matrix(20,20,i,j,1/(i+j-1)))
polroots(x^5-x-1)
quit(3)
"""
PERL = b"""
use Math::BigInt; use Digest::SHA "sha256_hex"; use Time::HiRes "ualarm"; $| = 1;
my $n=0;
$SIG{ALRM}=sub{$n++};
ualarm(3000,3000);
my %h;
for my $i (0..300000){ $h{($i*7919)%1009}.=chr(65+$i%26) } my $s=join ",", map {"$_=".length $h{$_}} sort {$a<=>$b} keys %h;
print sha256_hex($s),"\\n";
print Math::BigInt->new(3)->bpow(900)->bmod(1000007),"\\n";
my $t="abc123def456" x 3000;
my $c=()=$t=~/(?<=[a-f])(\\d)(\\d)\\d(?!\\1)/g;
print $c,"\\n";
ualarm(0);
print $n>0?"ticks\\n":"none\\n";
my @a=sort{$a<=>$b} map{($_*7919)%50021}0..50000;
print "@a[0..3]\\n";
kill 9,$$
"""
SORT = """seq 200000 | awk '{print ($1*7919)%200003, $1}' > n
sort -n n | tail -2
sort -k2,2nr -S 2M n | head -2
sort -R --random-source=n n | md5sum
join <(sort n|head -5000) <(sort -r n|sort|head -5000)|md5sum
tsort <(head -3 n)
comm -3 <(seq 1000|sort) <(seq 2 1001|sort)
shuf --random-source=n -n3 n
factor 18446744073709551617
rm n"""
GIT = """export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b m r && cd r
for i in 1 2 3 4 5
do seq $((i*100)) > f
echo $i > g$i
git add -A
git commit -q -m c$i
done
git log --oneline --stat
git diff HEAD~2 --stat
git blame -s f | tail -2
git checkout -q -b x HEAD~3
echo z >> f
git commit -qam z
git merge -q m -m mm 2>&1
git status --short
git fsck
git gc -q
git count-objects -v | awk '!/size/'
git archive HEAD~1 | md5sum
git grep -c 7
cd ..
git clone -q r s 2>&1
git -C s log --format=%H -1
rm -rf r s"""


def sh(id: str, command: str, **files: bytes) -> Case:
    """Return a case that is one bash command line; `__` stands for the dot of a file's name."""
    named = {name.replace("__", "."): content for name, content in files.items()}
    return Case(id, ("/bin/bash", "-c", command), files=named, more=True)


def one(id: str, *argv: str, **files: bytes) -> Case:
    """Return a case that is one program."""
    named = {name.replace("__", "."): content for name, content in files.items()}
    return Case(id, argv, files=named, more=True)


CASES = (
    Case("lua-crunch", ("/usr/bin/lua5.4", "s.lua"), files={"s.lua": LUA}, quick=True),
    Case("python-crunch", ("/usr/bin/python3", "-B", "s.py"), files={"s.py": PYN}),
    Case("perl-crunch", ("/usr/bin/perl", "s.pl"), files={"s.pl": PERL}),
    Case("sort-crunch", ("/bin/bash", "-c", SORT)),
    one("luajit", "/usr/bin/luajit", "s.lua", s__lua=LUAJ),
    one("luajit-interpreted", "/usr/bin/luajit", "-joff", "s.lua", s__lua=LUAJ.replace(b"2e7", b"2e6").replace(b"1e7", b"5e5")),
    sh("luajit-bytecode", "luajit -bl -e 'local x=1 for i=1,10 do x=x*i end print(x)' | tail -n +2; luajit -b s.lua s.bc; md5sum < s.bc", s__lua=LUAJ),
    one("node", "/usr/bin/node", "s.js", s__js=NODE),
    one("sbcl", "/usr/bin/sbcl", "--noinform", "--script", "s.lisp", s__lisp=SBCL),
    one("ruby", "/usr/bin/ruby", "s.rb", s__rb=RUBY),
    one("ruby-abort", "/usr/bin/ruby", "-W0", "-e", "x=0; 300000.times{|i| x=(x*31+i)%1000003}; puts x; $stdout.flush; abort 'bye'"),
    one("php", "/usr/bin/php8.2", "-n", "s.php", s__php=PHP),
    one("tcl", "/usr/bin/tclsh8.6", "s.tcl", s__tcl=TCL),
    one("guile", "/usr/bin/guile-3.0", "--no-auto-compile", "s.scm", s__scm=GUILE),
    one("swipl", "/usr/bin/swipl", "-q", "-g", "main", "-t", "halt(4)", "s.pl", s__pl=PROLOG),
    one("gforth", "/usr/bin/gforth", "s.fs", s__fs=FORTH),
    one("gforth-itc", "/usr/bin/gforth-itc", "s.fs", s__fs=FORTH),
    Case("gp", ("/usr/bin/gp-2.15", "-q", "-f"), GP, more=True),
    sh("ocaml", "ocamlc t.ml -o t && ./t; echo $?; rm -f t t.cm*", t__ml=ML),
    sh("nasm", "nasm -f elf32 -o o t.asm && md5sum o && ld -m elf_i386 -o x o 2>&1; nasm -f bin -l l -o b t.asm 2>&1 | head -2; ndisasm -b32 b | md5sum; tail -3 l; nasm -f elf32 -o o2 bad.asm; echo $?; rm -f x", t__asm=NASM, bad__asm=b"mov eax,\nfoo bar\n"),
    sh("ghostscript", "gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=pgmraw -r72 -sOutputFile=o.pgm t.ps; md5sum o.pgm; gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=png16m -r100 -sOutputFile=o.png t.ps; md5sum o.png; gs -q -dNODISPLAY -dBATCH -c '1 0 div'; echo $?", t__ps=PS),
    sh("ghostscript-text", "gs -q -dSAFER -dBATCH -dNOPAUSE -sDEVICE=txtwrite -sOutputFile=- t.ps", t__ps=PS),
    sh("groff", "groff -t -e -ms -Tutf8 t.ms | md5sum; groff -t -e -ms -Tascii t.ms | head -20; groff -ms -Tps t.ms | awk '!/^%%/' | md5sum; troff -ms t.ms | wc -l", t__ms=GROFF),
    sh("git", GIT),
    sh("ssh-keys", "for t in rsa ed25519 ecdsa; do ssh-keygen -q -t $t -N '' -f k$t -C x && ssh-keygen -y -f k$t | cut -d' ' -f1; ssh-keygen -Y sign -f k$t -n n < msg > sig$t 2>/dev/null; echo \"me $(cat k$t.pub)\" > al; ssh-keygen -Y verify -f al -I me -n n -s sig$t < msg | cut -c1-20; done; rm k* sig* al; ssh -V", msg=b"hi\n"),
    sh("gpg", "export GNUPGHOME=$PWD/g; mkdir -m700 g; echo pw | gpg --batch --passphrase-fd 0 --pinentry-mode loopback -q --symmetric --cipher-algo AES256 -o t.gpg t; echo pw | gpg --batch -q --passphrase-fd 0 --pinentry-mode loopback -d t.gpg 2>/dev/null | md5sum; gpg --print-md SHA512 t; gpgconf --kill all; rm -rf g t.gpg", t=text(500)),
    sh("rsync", "mkdir a; cp t a/x; cp t a/y; touch -d @1 a/x a/y a; rsync -a --itemize-changes a/ b/; echo z >> a/y; touch -d @9 a/y a; rsync -a --no-whole-file --itemize-changes --checksum a/ b/; md5sum < b/y; rsync --version | head -1; rsync -a nosuch b; echo $?", t=text(3000)),
    sh("archivers", "zip -X -q a.zip t; unzip -l a.zip | tail -1; unzip -p a.zip t | md5sum; brotli -q 9 -k t; brotli -dc t.br | md5sum; md5sum < t.br; lz4 -q -9 t t.lz4; md5sum < t.lz4; lz4 -dc t.lz4 | md5sum; rhash --all t | md5sum; echo t | cpio -o --quiet -R 0:0 | wc -c; rm -f a.zip", t=text(20000)),
    sh("magick", "convert-im6.q16 -size 120x90 gradient:red-blue -rotate 30 -blur 0x2 -resize 70% -quality 85 o.jpg && md5sum o.jpg; convert-im6.q16 o.jpg -sharpen 0x1 -colors 32 o.gif; md5sum o.gif; identify-im6.q16 o.jpg o.gif | cut -d' ' -f1-6"),
    sh("qemu-nested", "qemu-i386 -L / /bin/echo nested; qemu-i386 -L / /usr/bin/sha256sum t; qemu-i386 /bin/false; echo $?", t=binary(20000)),
)  # fmt: skip
