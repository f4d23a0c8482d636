; A VESA mode with a linear framebuffer: written through it (INT 15h, 87h), read in the window.
%include "print.inc"
start:
        mov ax, 4F01h
        mov cx, 101h            ; 640x480, 256 colours
        mov di, info
        int 10h
        show "info", ax
        mov ax, [info]
        and ax, 80h
        show "linear", ax
        mov ax, [info + 10h]
        show "pitch", ax
        line
        mov ax, 4F02h
        mov bx, 4101h
        int 10h
        mov [status], ax
        mov eax, [info + 28h]
        add eax, 2 * 10000h + 100
        mov [target + 2], ax
        shr eax, 16
        mov [target + 4], al
        mov [target + 7], ah
        xor eax, eax
        mov ax, cs
        shl eax, 4
        add eax, pixels
        mov [source + 2], ax
        shr eax, 16
        mov [source + 4], al
        mov ah, 87h
        mov cx, 4               ; words
        mov si, blocks
        int 15h
        mov ax, 4F05h
        xor bx, bx
        mov dx, 2               ; the window's third bank
        int 10h
        mov ax, 0A000h
        mov es, ax
        mov eax, [es:100]
        mov [seen], eax
        mov byte [es:0], 7
        mov ax, 3
        int 10h
        show "set", word [status]
        show "seen", word [seen]
        show "", word [seen + 2]
        line
        quit 0
blocks: times 16 db 0
source: dw 0FFFFh, 0
        db 0, 93h, 0, 0
target: dw 0FFFFh, 0
        db 0, 93h, 0, 0
        times 16 db 0
pixels: db 1, 2, 3, 4, 5, 6, 7, 8
status: dw 0
seen:   dd 0
info:   times 256 db 0
