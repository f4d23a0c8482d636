; The Mandelbrot set in 256 colours, for DOS; it waits for a key at the end.
;
;       nasm -f bin -o mandel.com mandel.asm
;       jitemu run --display window mandel.com

        org 0x100
WIDTH   equ 320
HEIGHT  equ 200
DEEPEST equ 200                 ; iterations

start:  mov ax, 0x13
        int 0x10
        call palette
        mov ax, 0xa000
        mov es, ax
        xor di, di
        cld
        finit
        mov word [row], 0
.row:   mov word [column], 0
.column:
        fild word [column]      ; x = column * step - 2.2
        fmul dword [step]
        fsub dword [left]
        fstp dword [cx_]
        fild word [row]         ; y = row * step - 1.25
        fmul dword [step]
        fsub dword [top]
        fstp dword [cy_]
        fldz                    ; st1: real part, st0: imaginary part
        fldz
        mov cx, DEEPEST
.again: fld st1                 ; squares
        fmul st0, st0
        fld st1
        fmul st0, st0           ; y*y, x*x, y, x
        fld st1
        fadd st0, st1           ; |z| squared
        fcomp dword [four]
        fstsw ax
        sahf
        jae .outside
        fsubp st1, st0          ; x*x - y*y
        fadd dword [cx_]        ; new x, y, x
        fxch st2                ; x, y, new x
        fmulp st1, st0
        fadd st0, st0
        fadd dword [cy_]        ; new y, new x
        loop .again
        xor al, al
        jmp .store
.outside:
        fstp st0
        fstp st0
        mov ax, DEEPEST + 2     ; the number of iterations, times 6
        sub ax, cx
        imul ax, ax, 6
        cmp ax, 255
        jbe .store
        mov al, 255
.store: fstp st0
        fstp st0
        stosb
        inc word [column]
        cmp word [column], WIDTH
        jb .column
        inc word [row]
        cmp word [row], HEIGHT
        jb .row
        xor ah, ah
        int 0x16
        mov ax, 3
        int 0x10
        mov ax, 0x4c00
        int 0x21

palette:                        ; 0 is black; then from blue over white to orange
        mov dx, 0x3c8
        xor al, al
        out dx, al
        inc dx
        mov cx, 3
.black: out dx, al
        loop .black
        mov bx, 1
.colour:
        mov ax, bx              ; red
        sub ax, 20
        call part
        mov ax, bx              ; green rises later
        shr ax, 1
        sub ax, 10
        call part
        mov ax, 140             ; blue falls in the end
        sub ax, bx
        cmp bx, 60
        ja .blue
        mov ax, bx
        add ax, 20
.blue:  call part
        inc bx
        cmp bx, 256
        jb .colour
        ret
part:   cmp ax, 0               ; 0 to 63
        jge .least
        xor ax, ax
.least: cmp ax, 63
        jle .fits
        mov ax, 63
.fits:  out dx, al
        ret

step:   dd 0.0125
left:   dd 2.5
top:    dd 1.25
four:   dd 4.0
row:    dw 0
column: dw 0
cx_:    dd 0.0
cy_:    dd 0.0
