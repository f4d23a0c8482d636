; Characters and lines from handle 0, echoed as DOS does.
%include "print.inc"
start:
        mov ah, 1
        int 21h
        mov ah, 0
        show " read", ax
        mov ah, 8
        int 21h
        mov ah, 0
        show "silent", ax
        mov ah, 7
        int 21h
        mov ah, 0
        show "raw", ax
        line
        mov ah, 0Ah
        mov dx, buffer
        int 21h
        line
        mov al, [buffer + 1]
        mov ah, 0
        show "length", ax
        mov al, [buffer + 3]
        mov ah, 0
        show "second", ax
        line
        mov ah, 3Fh
        xor bx, bx
        mov cx, 5
        mov dx, buffer
        int 21h
        show "bytes", ax
        mov ax, [buffer]
        show "first", ax
        line
        mov ah, 0
        int 16h
        show "key", ax
        mov ah, 1
        int 16h
        jz .none
        show "next", ax
.none:  line
        mov ah, 0Bh
        int 21h
        mov ah, 0
        show "status", ax
        mov ah, 6
        mov dl, 0FFh
        int 21h
        mov ah, 0
        show "direct", ax
        line
        quit 0
buffer: db 20, 0
        times 40 db 0
