; Programs that run programs: itself with arguments, overlays, exit codes, what a parent keeps.
%include "print.inc"
; Runs this program with the parameters at `block`; AX is its exit code then.
%macro  run_self 0
        mov ax, 4B00h
        mov dx, self
        mov bx, block
        int 21h
        mov sp, stack
        push cs
        pop ds
        mov ah, 4Dh
        int 21h
%endmacro
start:
        mov sp, stack
        cmp byte [80h], 2
        ja near child
        mov bx, 400h
        mov ah, 4Ah
        int 21h
        mov [block + 4], cs
        mov [block + 8], cs
        mov [block + 12], cs
        ; the program's own path is behind the environment
        mov es, [2Ch]
        xor di, di
        xor al, al
        mov cx, 8000h
.env:   repne scasb
        scasb
        jne .env
        add di, 2
        mov si, di
        push es
        pop ds
        push cs
        pop es
        mov di, self
        mov cx, 80
        rep movsb
        push cs
        pop ds
        mov ax, 4B00h
        mov dx, self
        mov bx, block
        mov si, 1111h
        mov di, 2222h
        mov bp, 3333h
        int 21h
        jc .bad
        mov sp, stack
        show "back", bp
        mov ah, 4Dh
        int 21h
        result "code"
        mov ah, 4Dh
        int 21h
        result "again"
        jmp .on
.bad:   result "exec"
.on:    push cs
        pop ds
        push cs
        pop es
        mov byte [tail + 1], "r"        ; the child stays resident
        run_self
        result "resident"
        mov ax, 3577h
        int 21h
        mov al, [es:bx]
        xor ah, ah
        show "its code", ax
        int 77h
        result "its answer"
        push cs
        pop es
        mov byte [tail + 1], "a"        ; the child ends by int 20h
        run_self
        result "int 20h"
        mov ax, 4B00h
        push cs
        pop es
        mov dx, missing
        mov bx, block
        int 21h
        result "missing"
        ; load only, then start it ourselves
        mov byte [tail + 1], "x"
        mov ax, 4B01h
        push cs
        pop es
        mov dx, self
        mov bx, block
        int 21h
        jc .bad2
        mov ah, 62h
        int 21h
        mov ax, [block + 14h]
        sub ax, bx
        show "its segment", ax
        mov ax, [block + 12h]
        show "ip", ax
        line
        mov ah, 50h
        push bx
        int 21h
        pop es
        mov word [es:0Ah], .ended
        mov [es:0Ch], cs
        mov [oldsp], sp
        mov ss, [block + 10h]
        mov sp, [block + 0Eh]
        pop ax
        push es
        pop ds
        jmp far [cs:block + 12h]
.ended: cld
        mov ax, cs
        mov ss, ax
        mov sp, [cs:oldsp]
        mov ds, ax
        mov es, ax
        mov ah, 4Dh
        int 21h
        result "loaded child"
        mov ah, 62h
        int 21h
        mov ax, cs
        sub ax, bx
        show "psp", ax
        line
.bad2:  ; an overlay
        mov ah, 3Ch
        xor cx, cx
        mov dx, overlay
        int 21h
        mov bx, ax
        mov ah, 40h
        mov cx, ovlsize
        mov dx, ovl
        int 21h
        mov ah, 3Eh
        int 21h
        mov ax, cs
        add ax, 300h
        mov [ovlblock], ax
        mov [ovlblock + 2], ax
        mov [ovlcall + 2], ax
        mov ax, 4B03h
        mov dx, overlay
        mov bx, ovlblock
        int 21h
        jc .bad3
        call far [ovlcall]
        result "overlay"
.bad3:  mov ah, 41h
        mov dx, overlay
        int 21h
        quit 5
child:  say "child"
        mov al, [81h]
        xor ah, ah
        show " tail", ax
        mov al, [5Dh]
        show "fcb", ax
        mov ax, [16h]
        mov bx, cs
        cmp ax, bx
        je .same
        say "has a parent"
.same:  line
        mov al, [81h]
        cmp al, "r"
        je .resident
        cmp al, "a"
        je .abort
        cmp al, "x"
        je .loaded
        mov bx, 0FFFFh
        mov bp, 4444h
        mov ax, 4C2Ah
        int 21h
.loaded:
        mov ax, 4C11h
        int 21h
.abort: int 20h
.resident:
        mov ax, 2577h
        mov dx, answer
        int 21h
        mov ax, 3107h
        mov dx, 60h
        int 21h
answer: mov ax, 5678h
        iret
overlay: db "OVERLAY.BIN", 0
missing: db "MISSING.EXE", 0
tail:   db 3, "ch1", 13
block:  dw 0, tail, 0, fcb, 0, fcb, 0, 0, 0, 0, 0
fcb:    db 0, "FCBNAME    ", 0, 0, 0, 0
oldsp:  dw 0
ovlblock: dw 0, 0
ovlcall: dw 0, 0
ovl:    mov ax, 1357h
        clc
        retf
ovlsize equ $ - ovl
self:   times 80 db 0
        times 256 db 0
stack:
