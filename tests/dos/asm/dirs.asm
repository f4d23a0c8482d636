; Directories: making, changing, searching, true names; and what fails.
%include "print.inc"
%macro  path 2
        mov ah, %1
        mov dx, %2
        int 21h
        jc %%bad
        say "done", 13, 10
        jmp %%end
%%bad:  result "failed"
%%end:
%endmacro
start:
        path 39h, one
        path 39h, one
        path 39h, two
        path 39h, deep
        path 3Bh, one
        call where
        path 3Bh, up
        path 3Bh, two
        call where
        path 3Bh, up2
        call where
        path 3Bh, missing
        path 3Ah, one
        call make
        mov ah, 1Ah
        mov dx, dta
        int 21h
        mov cx, 16h
        mov dx, all
        mov ah, 4Eh
.next:  int 21h
        jc .end
        mov al, [dta + 15h]
        xor ah, ah
        show "attr", ax
        mov ax, [dta + 1Ah]
        show "size", ax
        mov si, dta + 1Eh
        call print
        line
        mov ah, 4Fh
        jmp .next
.end:   result "end"
        mov cx, 0
        mov dx, some
        mov ah, 4Eh
        int 21h
        jc .none
        mov si, dta + 1Eh
        call print
        line
.none:  mov ah, 4Eh
        mov dx, nofile
        int 21h
        result "no file"
        mov ah, 4Eh
        mov dx, nodir
        int 21h
        result "no directory"
        push ds
        pop es
        mov si, odd
        mov di, buffer
        mov ah, 60h
        int 21h
        mov si, buffer
        call print
        line
        mov ah, 41h
        mov dx, file
        int 21h
        mov ah, 41h
        mov dx, file2
        int 21h
        path 3Ah, two
        path 3Ah, one
        path 3Ah, one
        mov ah, 19h
        int 21h
        xor ah, ah
        show "drive", ax
        line
        mov ah, 0Eh
        mov dl, 25
        int 21h
        mov ah, 19h
        int 21h
        xor ah, ah
        show "drive", ax
        line
        mov ah, 47h
        mov dl, 20
        mov si, buffer
        int 21h
        result "directory of a bad drive"
        quit 0
where:  mov ah, 47h
        xor dl, dl
        mov si, buffer
        int 21h
        say "in \"
        mov si, buffer
        call print
        line
        ret
make:   mov ah, 3Ch
        xor cx, cx
        mov dx, file
        int 21h
        mov bx, ax
        mov ah, 40h
        mov cx, 3
        int 21h
        mov ah, 3Eh
        int 21h
        mov ah, 3Ch
        mov cx, 2
        mov dx, file2
        int 21h
        mov bx, ax
        mov ah, 3Eh
        int 21h
        ret
one:    db "SUB1", 0
two:    db "SUB1\SUB2", 0
deep:   db "NOT\THERE", 0
up:     db "..", 0
up2:    db "..\..", 0
missing: db "MISSING", 0
all:    db "SUB1\*.*", 0
some:   db "sub1\f?LE.*", 0
nofile: db "SUB1\*.XYZ", 0
nodir:  db "NODIR\*.*", 0
odd:    db "sub1\..\sub1\.\a*.txt", 0
file:   db "SUB1\FILE.TXT", 0
file2:  db "SUB1\HIDDEN.TXT", 0
dta:    times 64 db 0
buffer: times 128 db 0
