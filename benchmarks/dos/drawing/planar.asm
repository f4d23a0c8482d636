; Mode 12h: a line is drawn pixel by pixel with the bit mask, as by the book, in changing colours.
        cpu 386
        org 100h
        mov ax, 12h
        int 10h
        push word 0A000h
        pop es
        mov dx, 3CEh
        mov ax, 0205h           ; write mode 2
        out dx, ax
        mov bp, ROUNDS * 20
round:  xor di, di
        mov si, bp
        mov cx, 640 * 4
        mov bl, 80h
pixel:  mov dx, 3CEh
        mov al, 8
        mov ah, bl
        out dx, ax
        mov al, [es:di]         ; into the latches
        mov ax, si
        mov [es:di], al
        ror bl, 1
        adc di, 0
        inc si
        loop pixel
        dec bp
        jnz round
        xor ebx, ebx            ; what all planes hold
        mov cx, 0304h           ; read map
        mov dx, 3CEh
plane:  mov ax, cx
        out dx, ax
        xor di, di
sum:    movzx eax, byte [es:di]
        add ebx, eax
        rol ebx, 3
        inc di
        cmp di, 400
        jb sum
        sub ch, 1
        jnc plane
        push ebx
        mov ax, 3
        int 10h
        pop ebx
%include "result.inc"
