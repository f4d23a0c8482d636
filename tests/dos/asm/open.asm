; Shows the file that is its argument, by its short or long name; the exit code is the error.
        org 100h
        mov bl, [80h]
        xor bh, bh
        mov byte [81h + bx], 0
        mov dx, 82h
        mov ax, 3D00h
        int 21h
        jnc .open
        mov ax, 716Ch
        xor bx, bx
        mov si, dx
        mov dx, 1
        int 21h
        jc .end
.open:  mov bx, ax
        mov ah, 3Fh
        mov cx, 200
        mov dx, buffer
        int 21h
        jc .end
        mov cx, ax
        mov bx, 1
        mov ah, 40h
        int 21h
        xor al, al
.end:   mov ah, 4Ch
        int 21h
buffer:
