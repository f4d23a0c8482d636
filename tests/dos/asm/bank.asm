; EMS: code in pages, which functions 55h and 56h map and go to.
%include "print.inc"
%macro  map 1                           ; logical page at the first place of the frame
        mov ax, 4400h
        mov bx, %1
        mov dx, [handle]
        int 67h
%endmacro
start:  mov ah, 43h
        mov bx, 2
        int 67h
        mov [handle], dx
        mov ah, 41h
        int 67h
        mov es, bx
        mov [called + 2], bx
        mov [jumped + 2], bx
        mov [to_map + 2], cs
        mov [back_map + 2], cs
        mov [jump_map + 2], cs
        map 1
        cld
        xor di, di
        mov si, procedure
        mov cx, procedure_end - procedure
        rep movsb
        mov di, 100h
        mov si, away
        mov cx, away_end - away
        rep movsb
        mov [es:110h], cs
        map 0
        mov word [es:0], 0CB90h         ; what is there otherwise: nop; retf
        mov ax, 5602h
        int 67h
        cmp bx, 4
        jb .little
        say "stack", 13, 10
.little:
        mov cx, 5
        mov ax, 5600h
        mov dx, [handle]
        mov si, called
        int 67h
        mov al, ah
        mov ah, 0
        show "call", ax
        show "cx", cx
        show "then", word [es:0]
        line
        mov bp, sp
        mov ax, 5500h
        mov dx, [handle]
        mov si, jumped
        int 67h
        say "not here", 13, 10
landed: show "jump", cx
        mov ax, [es:0]
        cmp ax, 0CB90h
        je .same
        say "mapped "
.same:  sub bp, sp
        show "stack", bp
        line
        mov ah, 45h
        mov dx, [handle]
        int 67h
        quit 0
procedure:
        add cx, 37h
        retf
procedure_end:
away:   mov cx, 1234h
        jmp far [cs:10Eh]
        times 0Eh - ($ - away) db 0
        dw landed, 0
away_end:
handle: dw 0
called: dw 0, 0
        db 1
to_map: equ $
        dw pairs, 0
        db 1
back_map: equ $
        dw old, 0
        times 4 dw 0
jumped: dw 100h, 0
        db 1
jump_map: equ $
        dw pairs, 0
pairs:  dw 1, 0
old:    dw 0, 0
