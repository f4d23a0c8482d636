; Memory blocks: sizes, splitting, joining, strategies, errors. Counted from the first block found.
%include "print.inc"
start:
        mov sp, stack
        mov bx, 200h
        mov ah, 4Ah
        int 21h
        jc .bad1
        say "shrunk", 13, 10
.bad1:  mov bx, 100h
        mov ah, 48h
        int 21h
        mov [a], ax
        mov bx, 100h
        mov ah, 48h
        int 21h
        mov [b], ax
        sub ax, [a]
        call hex
        line
        mov bx, 100h
        mov ah, 48h
        int 21h
        mov [c], ax
        sub ax, [b]
        call hex
        line
        mov es, [b]
        mov ah, 49h
        int 21h

        jc .bad
        say "freed", 13, 10
.bad:   mov bx, 80h
        mov ah, 48h
        int 21h
        mov [d], ax
        sub ax, [a]
        call hex
        line
        mov es, [a]
        mov bx, 110h
        mov ah, 4Ah
        int 21h
        result "grow"
        show "largest", bx
        line
        mov es, [d]
        mov bx, 100h
        mov ah, 4Ah
        int 21h
        jc .bad2
        say "grown", 13, 10
.bad2:  mov es, [d]
        mov ah, 49h
        int 21h
        mov ax, 5801h
        mov bx, 2
        int 21h
        mov ax, 5800h
        int 21h
        result "strategy"
        mov bx, 10h
        mov ah, 48h
        int 21h
        mov [d], ax
        mov es, ax
        mov bx, ax
        add bx, 10h
        cmp bx, [2]
        jne .no
        say "at the end", 13, 10
.no:    mov ah, 49h
        int 21h
        mov ax, 5801h
        xor bx, bx
        int 21h
        mov bx, 0FFFFh
        mov ah, 48h
        int 21h
        result "too much"
        mov ax, [2]
        sub ax, [c]
        sub ax, 101h
        sub ax, bx
        call hex
        line
        mov ax, 1234h
        mov es, ax
        mov ah, 49h
        int 21h
        result "free nothing"
        mov es, [c]
        mov ah, 49h
        int 21h
        mov es, [a]
        mov ah, 49h
        int 21h
        ; the chain of blocks: from ours to the last
        mov ax, cs
        dec ax
        mov es, ax
        mov al, [es:0]
        call hex2
        mov ax, es
        add ax, [es:3]
        inc ax
        mov es, ax
        mov al, [es:0]
        call hex2
        mov ax, [es:1]
        show "owner", ax
        line
        quit 0
hex2:   xor ah, ah
        call hex
        line
        ret
a:      dw 0
b:      dw 0
c:      dw 0
d:      dw 0
        times 256 db 0
stack:
