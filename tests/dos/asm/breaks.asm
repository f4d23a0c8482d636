; Ctrl-C (INT 23h) and critical errors (INT 24h), handled by the program; an argument: not handled.
%include "print.inc"
start:
        cmp byte [80h], 1
        ja .read
        mov ax, 2523h
        mov dx, pressed
        int 21h
        mov ax, 2524h
        mov dx, critical
        int 21h
.read:  mov ah, 8
        int 21h
        mov ah, 0
        show "key", ax
        mov ah, 8
        int 21h
        mov ah, 0
        show "key", ax
        show "breaks", word [breaks]
        line
        ; a file on a drive that cannot be written to
        mov ah, 3Ch
        mov cx, 0
        mov dx, name
        int 21h
        result "create"
        show "asked", word [asked]
        show "drive", word [drive]
        show "code", word [code]
        line
        mov ah, 59h
        xor bx, bx
        int 21h
        show "extended", ax
        line
        ; the last Ctrl-C: end by retf with carry
        mov byte [ends], 1
        mov ah, 1
        int 21h
        say "not reached", 13, 10
        quit 1
pressed:
        inc word [cs:breaks]
        cmp byte [cs:ends], 0
        jne .end
        iret
.end:   stc
        retf
; once more, then fail
critical:
        inc word [cs:asked]
        mov [cs:drive], al
        mov [cs:code], di
        mov al, 1
        cmp word [cs:asked], 2
        jb .done
        mov al, 3
.done:  iret
name:   db "D:\NEW.DAT", 0
breaks: dw 0
asked:  dw 0
drive:  dw 0
code:   dw 0
ends:   db 0
