; Draws in 320x200 and 256 colours, waits for a key, then prints in text mode what was pressed.
        org 100h
        mov ax, 13h
        int 10h
        mov ax, 0A000h
        mov es, ax
        xor di, di
        mov cx, 64000
next:   mov ax, di
        xor dx, dx
        mov bx, 320
        div bx
        add al, dl
        stosb
        loop next
        mov ah, 0
        int 16h
        mov [key], al
        mov ax, 3
        int 10h
        mov dx, text
        mov ah, 9
        int 21h
        mov ax, 4C07h
        int 21h
text:   db "pressed "
key:    db "?", 13, 10, "$"
