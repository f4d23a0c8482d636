; Files by FCB.
%include "print.inc"
%macro  call21 1
        mov ah, %1
        mov dx, fcb
        int 21h
        xor ah, ah
        clc
%endmacro
start:
        push ds
        pop es
        mov ah, 1Ah
        mov dx, dta
        int 21h
        mov ax, 2901h
        mov si, line1
        mov di, fcb
        int 21h
        xor ah, ah
        show "parsed", ax
        sub si, line1
        show "length", si
        call name
        mov ax, 2901h
        mov si, line2
        mov di, fcb2
        int 21h
        xor ah, ah
        show "parsed", ax
        mov byte [fcb2 + 12], 0
        mov si, fcb2 + 1
        call print
        line
        call21 0Fh
        result "open missing"
        call21 16h
        result "create"
        mov ax, [fcb + 14]
        show "record", ax
        line
        mov word [fcb + 14], 10
        mov cx, 5
.write: push cx
        mov al, cl
        add al, "0"
        mov di, dta
        mov cx, 10
        rep stosb
        call21 15h
        pop cx
        loop .write
        result "written"
        mov ax, [fcb + 16]
        show "size", ax
        mov al, [fcb + 32]
        xor ah, ah
        show "record", ax
        line
        call21 10h
        result "close"
        call21 0Fh
        result "open"
        mov word [fcb + 14], 20
        mov byte [fcb + 32], 0
.read:  call21 14h
        mov byte [dta + 20], 0
        show "got", ax
        mov si, dta
        push ax
        call print
        pop ax
        line
        cmp al, 0
        je .read
        mov word [fcb + 33], 1
        mov word [fcb + 35], 0
        call21 21h
        show "random", ax
        mov si, dta
        call print
        line
        mov word [fcb + 33], 0
        mov cx, 2
        call21 27h
        show "block", ax
        show "records", cx
        mov ax, [fcb + 33]
        show "next", ax
        line
        mov cx, 9
        call21 27h
        show "block", ax
        show "records", cx
        line
        call21 24h
        mov ax, [fcb + 33]
        show "random", ax
        line
        call21 10h
        mov word [fcb + 14], 10
        call21 23h
        mov ax, [fcb + 33]
        show "records", ax
        line
        mov byte [fcb], 0
        mov word [fcb + 12], 0
        call21 11h
        result "find"
        mov byte [dta + 12], 0
        mov si, dta + 1
        call print
        mov ax, [dta + 1Dh]
        show " size", ax
        line
        call21 12h
        result "find next"
        mov si, fcb2 + 1
        mov di, fcb + 11h
        mov cx, 11
        rep movsb
        call21 17h
        result "rename"
        mov ax, 2900h
        mov si, line3
        mov di, fcb
        int 21h
        call21 13h
        result "delete"
        call21 13h
        result "delete"
        quit 0
name:   push si
        mov si, fcb + 1
        mov cl, [fcb + 12]
        mov byte [fcb + 12], 0
        push cx
        call print
        pop cx
        mov [fcb + 12], cl
        line
        pop si
        ret
line1:  db "  fcbtest.dat rest", 13
line2:  db "fcb2*.new", 13
line3:  db "fcb*.*", 13
fcb:    times 44 db 0
fcb2:   times 44 db 0
dta:    times 256 db 0
