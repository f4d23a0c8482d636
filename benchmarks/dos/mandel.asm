; The Mandelbrot set on 64 x 48 points with the coprocessor, as fractal programs have it.
        cpu 386
        org 100h
        mov word [rounds], ROUNDS * 4 + 1
again:  mov dword [sum], 0
        fninit
        mov word [row], 48
nextrow:
        mov word [column], 64
point:  fild word [column]
        fmul dword [step]
        fsub dword [left]               ; c: real part
        fild word [row]
        fmul dword [step]
        fsub dword [top]                ; imaginary part, real part
        fldz
        fldz                            ; y, x, ci, cr
        mov cx, 60
turn:   fld st1
        fmul st0, st0                   ; xx, y, x, ci, cr
        fld st1
        fmul st0, st0                   ; yy, xx, y, x, ci, cr
        fld st1
        fadd st0, st1
        fcomp dword [four]
        fnstsw ax
        sahf
        ja out2
        fsubp st1, st0                  ; xx - yy, y, x, ci, cr
        fadd st0, st4                   ; new x
        fxch st2                        ; x, y, new x
        fmulp st1, st0                  ; x y, new x, ci, cr
        fadd st0, st0
        fadd st0, st2                   ; new y, new x, ci, cr
        loop turn
        jmp ended
out2:   fstp st0
        fstp st0
ended:  fstp st0
        fstp st0
        fstp st0
        fstp st0
        movzx ecx, cx
        add [sum], ecx
        dec word [column]
        jnz point
        dec word [row]
        jnz nextrow
        dec word [rounds]
        jnz again
        mov ebx, [sum]
%include "result.inc"
step:   dd 0.046875
left:   dd 2.0
top:    dd 1.125
four:   dd 4.0
row:    dw 0
column: dw 0
rounds: dw 0
sum:    dd 0
