; EMS: a page that the frame shows twice is the same memory, also where code runs in it.
%include "print.inc"
%macro  map 2                           ; page of the frame, logical page
        mov ax, 4400h + %1
        mov bx, %2
        mov dx, [handle]
        int 67h
%endmacro
%macro  run 1                           ; where, in the frame; AX = what it makes of 1
        mov ax, 1
        push cs
        push %%back
        push es
        push word %1
        retf
%%back:
%endmacro
start:  mov ah, 43h
        mov bx, 4
        int 67h
        mov [handle], dx
        map 0, 0
        map 1, 0
        mov ah, 41h
        int 67h
        mov es, bx
        mov word [es:0], 1234h
        show "second sees", word [es:4000h]
        mov word [es:4002h], 5678h
        show "first sees", word [es:2]
        line
        mov word [es:10h], 0CB40h       ; inc ax; retf
        mov bp, 2000
.again: run 10h
        dec bp
        jnz .again
        show "inc", ax
        mov byte [es:4010h], 48h        ; dec ax
        run 10h
        show "dec", ax
        map 0, 1
        mov word [es:10h], 0CB90h       ; nop; retf
        run 10h
        show "other page", ax
        map 0, 0
        run 10h
        show "back", ax
        run 4010h
        show "there", ax
        line
        mov word [source + 5], 0        ; move 16 bytes of logical page 0 to conventional memory
        mov ax, [handle]
        mov [source + 1], ax
        mov ax, cs
        mov [target + 5], ax
        mov si, block
        mov ax, 5700h
        int 67h
        mov al, ah
        mov ah, 0
        show "move", ax
        show "moved", word [copy]
        line
        map 0, 0FFFFh
        map 1, 0FFFFh
        mov ah, 45h
        mov dx, [handle]
        int 67h
        mov al, ah
        mov ah, 0
        show "free", ax
        line
        quit 0
handle: dw 0
block:  dd 16
source: db 1
        dw 0, 0, 0
target: db 0
        dw 0, copy, 0
copy:   times 16 db 0
