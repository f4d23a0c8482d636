; Vectors, dates, flags, versions, tables.
%include "print.inc"
start:
        mov ax, 2566h
        mov dx, start
        int 21h
        mov ax, 3566h
        int 21h
        mov ax, es
        mov cx, cs
        sub ax, cx
        show "segment", ax
        sub bx, start
        show "offset", bx
        line
        mov ah, 2Bh
        mov cx, 1999
        mov dx, 0C1Fh
        int 21h
        xor ah, ah
        result "set date"
        mov ah, 2Ah
        int 21h
        show "year", cx
        show "day", dx
        xor ah, ah
        show "weekday", ax
        line
        mov ah, 2Bh
        mov cx, 1999
        mov dx, 021Eh
        int 21h
        xor ah, ah
        clc
        result "bad date"
        mov ah, 2Dh
        mov cx, 0C22h
        mov dx, 3800h
        int 21h
        xor ah, ah
        clc
        result "set time"
        mov ah, 2Ch
        int 21h
        show "time", cx
        line
        mov ah, 2Dh
        mov cx, 1900h
        xor dx, dx
        int 21h
        xor ah, ah
        clc
        result "bad time"
        mov ah, 2Eh
        mov al, 1
        int 21h
        mov ah, 54h
        int 21h
        xor ah, ah
        clc
        result "verify"
        mov ax, 2E00h
        int 21h
        mov ax, 3301h
        mov dl, 1
        int 21h
        mov ax, 3300h
        int 21h
        mov dh, 0
        show "break", dx
        line
        mov ax, 3301h
        mov dl, 0
        int 21h
        mov ax, 3700h
        int 21h
        mov dh, 0
        show "switch", dx
        line
        mov ah, 38h
        mov al, 0
        mov dx, buffer
        int 21h
        jc .bad
        mov ax, [buffer]
        show "date format", ax
        mov al, [buffer + 2]
        mov ah, 0
        show "currency", ax
        mov al, [buffer + 9]
        mov ah, 0
        show "decimal", ax
        line
        mov al, 82h
        call far [buffer + 12h]
        mov ah, 0
        show "capital", ax
        mov al, "a"
        call far [buffer + 12h]
        mov ah, 0
        show "capital", ax
        line
.bad:   mov ax, 6520h
        mov dl, "q"
        int 21h
        jc .bad2
        mov dh, 0
        show "capital", dx
        line
.bad2:  mov ax, 6601h
        int 21h
        jc .bad3
        show "code page", bx
        line
.bad3:  mov ah, 62h
        int 21h
        mov ax, cs
        sub ax, bx
        show "psp", ax
        mov ah, 51h
        int 21h
        mov ax, cs
        sub ax, bx
        show "psp", ax
        line
        mov ah, 2Fh
        int 21h
        mov ax, es
        mov cx, cs
        sub ax, cx
        show "dta", ax
        show "dta", bx
        line
        mov ah, 34h
        int 21h
        mov al, [es:bx]
        mov ah, 0
        show "in dos", ax
        line
        mov ah, 52h
        int 21h
        mov ax, [es:bx - 2]
        mov es, ax
        mov al, [es:0]
        mov ah, 0
        show "first block", ax
        line
        mov ax, 4300h
        int 2Fh
        mov ah, 0
        ; found or not, the answer is 80h or 0
        and al, 7Fh
        show "xms", ax
        line
        mov ax, 4400h
        mov bx, 4
        int 21h
        and dx, 0C000h | 80h | 1Fh
        show "prn", dx
        line
        mov ax, 4400h
        mov bx, 99
        int 21h
        result "ioctl 99"
        mov ax, 4407h
        mov bx, 1
        int 21h
        mov ah, 0
        result "output status"
        mov ah, 44h
        mov al, 8
        mov bl, 3
        int 21h
        result "removable"
        mov ah, 4Ah
        mov bx, 200h
        push cs
        pop es
        mov sp, stack
        int 21h
        mov ah, 67h
        mov bx, 40
        int 21h
        jc .bad4
        mov ax, [32h]
        show "handles", ax
        line
.bad4:  mov dx, msg
        mov ah, 9
        int 21h
        mov ah, 2
        mov dl, "x"
        int 21h
        mov ah, 6
        mov dl, "y"
        int 21h
        line
        quit 0
msg:    db "dollar string$"
buffer: times 320 db 0
stack:
