; XMS: version, blocks, moves, locks, errors.
%include "print.inc"
%macro  xms 1
        mov ah, %1
        call far [entry]
%endmacro
%macro  answer 1
        show %1, ax
        xor bh, bh
        or ax, ax
        jnz %%ok
        show "error", bx
%%ok:   line
%endmacro
start:
        mov ax, 4300h
        int 2Fh
        cmp al, 80h
        je .found
        say "no XMS", 13, 10
        quit 1
.found: mov ax, 4310h
        int 2Fh
        mov [entry], bx
        mov [entry + 2], es
        push cs
        pop es
        xms 0
        mov al, 0
        show "version", ax
        line
        mov dx, 0FFFFh
        xms 1
        answer "hma"
        xms 2
        answer "hma"
        mov dx, 64
        xms 9
        mov [block], dx
        answer "allocate"
        mov dx, [block]
        xms 0Eh
        show "size", dx
        mov bl, 0
        answer "info"
        ; there and back
        mov word [move], 16
        mov [move + 6], word text
        mov [move + 8], cs
        mov ax, [block]
        mov [move + 10], ax
        mov word [move + 12], 1000
        mov si, move
        xms 0Bh
        answer "to"
        mov ax, [block]
        mov [move + 4], ax
        mov word [move + 6], 1000
        mov word [move + 8], 0
        mov word [move + 10], 0
        mov word [move + 12], buffer
        mov [move + 14], cs
        mov si, move
        xms 0Bh
        answer "from"
        mov si, buffer
        call print
        line
        mov word [move + 8], 7
        mov si, move
        xms 0Bh
        answer "beyond"
        mov dx, [block]
        xms 0Ch
        and bx, 0Fh
        show "locked", ax
        line
        mov dx, [block]
        xms 0Ah
        answer "free locked"
        mov dx, [block]
        xms 0Dh
        answer "unlock"
        mov dx, [block]
        xms 0Dh
        answer "unlock"
        mov dx, [block]
        mov bx, 128
        xms 0Fh
        answer "resize"
        mov dx, [block]
        xms 0Eh
        show "size", dx
        line
        mov dx, [block]
        xms 0Ah
        answer "free"
        mov dx, [block]
        xms 0Ah
        answer "free"
        mov dx, 0FFFFh
        xms 9
        answer "too much"
        mov dx, 16
        xms 10h
        answer "upper"
        xms 77h
        answer "unknown"
        quit 0
entry:  dd 0
block:  dw 0
move:   times 16 db 0
text:   db "sixteen letters", 0
buffer: times 32 db 0
