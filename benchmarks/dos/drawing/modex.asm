; Mode X: each plane is chosen once and filled pixel by pixel, as games draw columns and sprites.
        cpu 386
        org 100h
        mov ax, 13h
        int 10h
        mov dx, 3C4h
        mov ax, 0604h           ; not chained
        out dx, ax
        push word 0A000h
        pop es
        mov bp, ROUNDS * 4
round:  mov bx, 0102h           ; map mask, and its register
plane:  mov dx, 3C4h
        mov al, bl
        mov ah, bh
        out dx, ax
        mov si, bp
        xor di, di
column: mov dx, 200             ; downwards: 80 bytes a line
        push di
pixel:  mov ax, si
        add ax, di
        mov [es:di], al
        add di, 80
        dec dx
        jnz pixel
        pop di
        inc di
        cmp di, 80
        jb column
        shl bh, 1
        test bh, 15
        jnz plane
        dec bp
        jnz round
        xor ebx, ebx            ; what plane 2 holds
        mov dx, 3CEh
        mov ax, 0204h
        out dx, ax
        xor di, di
sum:    movzx eax, byte [es:di]
        add ebx, eax
        rol ebx, 3
        inc di
        cmp di, 16000
        jb sum
        push ebx
        mov ax, 3
        int 10h
        pop ebx
%include "result.inc"
