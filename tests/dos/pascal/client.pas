{ What programs of DJGPP's kind do: memory, files, exceptions, real mode, a child of its own. }
{$mode objfpc}{$h-}
program client;
uses dos, go32, sysutils;

type
  node = ^nodes;
  nodes = record value: longint; next: node end;

var
  list, one: node;
  i, sum: longint;
  big: pbyte;
  f: file of longint;
  registers: trealregs;
  info: tmeminfo;
  text: string;
  segment: longint;
  words: array[0..3] of longint;
  found: sysutils.tsearchrec;
  x: double;

begin
  if paramcount > 1 then begin
    writeln('child <', paramstr(1), '> <', paramstr(2), '>');
    halt(42)
  end;
  { the heap grows by functions 0501h and 0503h }
  list := nil;
  for i := 1 to 100000 do begin
    new(one); one^.value := i; one^.next := list; list := one
  end;
  sum := 0;
  while list <> nil do begin
    one := list; sum := sum xor one^.value; list := one^.next; dispose(one)
  end;
  writeln('list ', sum);
  getmem(big, 20000000);
  for i := 0 to 19999 do big[i * 1000] := i;
  sum := 0;
  for i := 0 to 19999 do inc(sum, big[i * 1000]);
  freemem(big);
  writeln('big ', sum);
  { files, by long names }
  assign(f, 'a long file name.data'); rewrite(f);
  for i := 1 to 500 do write(f, i);
  close(f); reset(f); seek(f, 498); read(f, i); write('read ', i, ' of ', filesize(f));
  close(f); writeln;
  if sysutils.findfirst('*.data', faanyfile, found) = 0 then writeln('found ', found.name, ' ', found.size);
  sysutils.findclose(found);
  erase(f);
  { exceptions of the processor become exceptions of the language }
  try
    i := 0; sum := 5 div i;
  except on e: edivbyzero do writeln('divided') end;
  try
    segment := 1; sum := plongint($7FFFFFF0)^;
  except on e: eaccessviolation do writeln('violated') end;
  try
    x := 0.0; x := 1.0 / x; writeln(x);
  except on e: ezerodivide do writeln('divided again') end;
  x := 2.0; writeln('root ', sqrt(x): 1: 12);
  { real mode: its memory, its interrupts }
  segment := global_dos_alloc(64);
  text := 'by real mode' + #13#10 + '$';
  dosmemput(segment shr 16, 0, text[1], length(text));
  fillchar(registers, sizeof(registers), 0);
  registers.ah := 9; registers.ds := segment shr 16; registers.dx := 0;
  realintr($21, registers);
  global_dos_free(segment and $FFFF);
  for i := 0 to 3 do words[i] := i * $01010101;
  dosmemput($4F, 0, words, 16);
  writeln('between ', memw[0:$4F4], ' ', mem[0:$4F8]);
  if get_meminfo(info) then writeln('page ', get_page_size);
  swapvectors; exec(paramstr(0), 'one two'); swapvectors;
  writeln('code ', dosexitcode and 255);
  halt(7)
end.
