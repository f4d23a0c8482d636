; INT 33h: waits until the script has moved the mouse and pressed a button, then tells what it saw.
%include "print.inc"
start:
        xor ax, ax
        int 33h
        show "mouse", ax
        show "buttons", bx
        line
        mov ax, 7
        mov cx, 0
        mov dx, 319
        int 33h
        mov ax, 4
        mov cx, 100
        mov dx, 100
        int 33h
        mov ax, 0Ch
        mov cx, 1Fh
        push cs
        pop es
        mov dx, handler
        int 33h
        mov ax, 1
        int 33h
        say "ready", 13, 10
.wait:  hlt
        cmp word [released], 0
        je .wait
        mov ax, 3
        int 33h
        show "x", cx
        show "y", dx
        show "down", bx
        line
        mov ax, 0Bh
        int 33h
        show "mickeys", cx
        show "", dx
        line
        mov ax, 5
        xor bx, bx
        int 33h
        show "presses", bx
        show "events", word [events]
        line
        say "done"
        mov ah, 0
        int 16h
        quit 3
handler:
        or [cs:events], ax
        test ax, 4
        jz .no
        inc word [cs:released]
.no:    retf
released: dw 0
events: dw 0
