; The palette is faded by rep outsb, behind reads of input status 1; then it is read back.
        cpu 386
        org 100h
        cld
        mov ax, 13h
        int 10h
        mov di, colours
        mov cx, 768
        mov al, 0
more:   stosb
        add al, 37
        loop more
        mov bp, ROUNDS * 20
round:  mov dx, 3DAh
        mov cx, 100
look:   in al, dx
        test al, 40h
        loopz look
        mov dx, 3C8h
        mov al, 0
        out dx, al
        inc dx
        mov si, colours
        mov cx, 768
        rep outsb
        dec bp
        jnz round
        mov dx, 3C7h
        mov al, 0
        out dx, al
        mov dx, 3C9h
        xor ebx, ebx
        mov cx, 768
sum:    in al, dx
        movzx eax, al
        add ebx, eax
        rol ebx, 3
        loop sum
        push ebx
        mov ax, 3
        int 10h
        pop ebx
%include "result.inc"
colours:
