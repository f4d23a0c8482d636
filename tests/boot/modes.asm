; A boot sector that sets one video mode after the other through INT 10h, fills the window with a
; known sequence, draws with the write modes, and tells port E9h; then it waits for a key.
        bits 16
        org 0x7c00
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        mov si, table
        cld
next:   lodsw
        test ax, ax
        jz finish
        mov bx, ax
        cmp bh, 1
        jb .vga
        mov ax, 0x4f02
.vga:   int 10h
        mov ah, 1               ; no cursor: it blinks
        mov cx, 0x2000
        int 10h
        lodsw
        mov es, ax
        lodsw
        mov cx, ax
        lodsw
        mov bp, ax              ; what to do besides: planes, split, unchained
        mov ebx, 12345
        mov dl, 4               ; planes
        test bp, 1
        jnz .plane
        mov dl, 0
.plane: push cx
        test dl, dl
        jz .fill
        push dx
        mov cl, dl
        mov ax, 0x0802
        dec cl
        mov ah, 1
        shl ah, cl
        mov dx, 3c4h
        out dx, ax
        pop dx
        pop cx
        push cx
.fill:  xor di, di
.byte:  imul ebx, ebx, 1103515245
        add ebx, 12345
        mov eax, ebx
        shr eax, 16
        test bp, 8              ; no blinking characters
        jz .store
        and al, 127
.store: stosb
        loop .byte
        pop cx
        sub dl, 1
        jg .plane
        test bp, 1
        jz .split
        mov dx, 3ceh
        mov ax, 0x0205          ; write mode 2
        out dx, ax
        mov ax, 0x3c08
        out dx, ax
        mov di, 300
        mov cx, 100
        call draw
        mov ax, 0x0305          ; write mode 3, or, rotate by 2
        out dx, ax
        mov ax, 0x0a00
        out dx, ax
        mov ax, 0x1203
        out dx, ax
        mov cx, 120
        call draw
        mov ax, 0x0105          ; latches
        out dx, ax
        push ds
        push es
        pop ds
        push si
        xor si, si
        mov di, 900
        mov cx, 90
        rep movsb
        pop si
        pop ds
.split: test bp, 2
        jz .unchain
        mov dx, 3d4h
        mov ax, 0x500d
        out dx, ax
        mov ax, 0x2e07
        out dx, ax
        mov ax, 0x0009
        out dx, ax
        mov ax, 0xc818
        out dx, ax
.unchain:
        test bp, 4
        jz .done
        mov dx, 3c4h
        mov ax, 0x0604
        out dx, ax
        mov ax, 0x0f02
        out dx, ax
        mov dx, 3d4h
        mov ax, 0x0014
        out dx, ax
        mov ax, 0xe317
        out dx, ax
        xor di, di
        xor ax, ax
        mov cx, 8000
        rep stosw
        mov di, 3
        mov cx, 600
.one:   mov al, cl
        stosb
        loop .one
        mov dx, 3c4h
        mov ax, 0x0402
        out dx, ax
        mov di, 83
        mov cx, 500
.two:   mov al, ch
        stosb
        loop .two
.done:  mov al, '!'
        out 0xe9, al
        xor ax, ax
        int 16h
        jmp next
draw:   mov al, [es:di]
        mov al, cl
        stosb
        loop draw
        ret
finish: mov al, '.'
        out 0xe9, al
.halt:  hlt
        jmp .halt
; mode, segment of the window, bytes, flags: 1 planes, 2 split, 4 unchained, 8 text
table:  dw 0x04, 0xb800, 0x4000, 0
        dw 0x06, 0xb800, 0x4000, 0
        dw 0x0d, 0xa000, 1000, 1
        dw 0x10, 0xa000, 1000, 1
        dw 0x11, 0xa000, 1000, 0
        dw 0x12, 0xa000, 1000, 3
        dw 0x13, 0xa000, 0xffff, 0
        dw 0x13, 0xa000, 1, 4
        dw 0x101, 0xa000, 0xffff, 0
        dw 0x111, 0xa000, 0xffff, 0
        dw 0x112, 0xa000, 0xffff, 0
        dw 0x118, 0xa000, 0xffff, 0
        dw 0x03, 0xb800, 4000, 8
        dw 0x07, 0xb000, 4000, 8        ; SeaVGABIOS changes from and to text only
        dw 0
        times 510-($-$$) db 0
        dw 0xaa55
