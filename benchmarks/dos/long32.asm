; 32-bit registers in real mode: one chain of dependent insns over 32 KiB, as in hashes and coders.
        cpu 386
        org 100h
        cld
        mov di, buffer
        mov cx, 4000h
        xor ax, ax
        rep stosw
        mov bp, ROUNDS * 150
        mov ebx, 12345678h
round:  xor di, di
        mov cx, 8192
next:   mov eax, [buffer + di]
        xor eax, ebx
        rol eax, 5
        imul eax, eax, 9E3779B1h
        add ebx, eax
        mov [buffer + di], eax
        add di, 4
        loop next
        dec bp
        jnz round
%include "result.inc"
buffer:
