; Escape sequences to CON: what is on the screen then, characters and colours.
%include "print.inc"
start:  mov ax, 3
        int 10h
        mov ax, 3D02h
        mov dx, con
        int 21h
        mov bx, ax
        mov ah, 40h                     ; in two pieces, the first ends within a sequence
        mov cx, half - text
        mov dx, text
        int 21h
        mov ah, 40h
        mov cx, behind - half
        mov dx, half
        int 21h
        mov ah, 3
        mov bh, 0
        int 10h
        push dx
        line
        mov ax, 0B800h
        mov es, ax
        xor di, di
        mov bp, 6
.row:   mov cx, 20
.cell:  mov ax, [es:di]
        mov [byte_], al
        push ax
        mov si, byte_
        call print
        pop ax
        mov al, ah
        mov ah, 0
        call hex
        add di, 2
        loop .cell
        add di, 120
        line
        dec bp
        jnz .row
        pop dx
        show "cursor", dx
        line
        quit 0
con:    db "CON", 0
byte_:  db 0, 0
text:   db 27, "[2J", 27, "[1;31mred", 27, "[0mplain", 27, "[3;5Hat35", 27, "[44"
half:   db ";33mcol", 27, "[K", 27, "[s", 27, "[40m", 27, "[6;1H", 9, "tab"
        db 27, "[uback", 27, "[2A^", 27, "[5Bv", 27, "[10D<", 27, "[C>", 27, "[0;7mrev", 27, "[5mx"
behind:
