; The services of INT 21h that no other of these programs asks for.
%include "print.inc"
%macro  dos 1                           ; AX
        mov ax, %1
        int 21h
%endmacro
start:  ; -- characters, from a file that is handle 0
        mov ah, 3Ch                     ; a file of three lines
        xor cx, cx
        mov dx, input
        int 21h
        mov bx, ax
        mov ah, 40h
        mov cx, typed_end - typed
        mov dx, typed
        int 21h
        dos 6800h                       ; commit, in both numbers
        result "commit"
        dos 6A00h
        jc .old                         ; DOS 4 and later
.old:   mov ah, 3Eh
        int 21h
        dos 3D00h
        mov ah, 3Dh
        mov al, 0
        mov dx, input
        int 21h
        mov si, ax
        mov ah, 45h                     ; what handle 0 was
        xor bx, bx
        int 21h
        mov [kept], ax
        mov bx, si
        mov ah, 46h
        xor cx, cx
        int 21h
        dos 0B00h
        mov ah, 0
        show "status", ax
        dos 0700h
        mov ah, 0
        show "raw", ax
        dos 0C07h
        mov ah, 0
        show "flushed", ax
        line
        mov ah, 0Ah
        mov dx, buffer
        int 21h
        line
        mov al, [buffer + 1]
        mov ah, [buffer + 2]
        show "line", ax
        mov al, [buffer + 4]
        mov ah, [buffer + 5]
        show "end", ax
        line
        mov ah, 46h
        mov bx, [kept]
        xor cx, cx
        int 21h
        ; -- AUX and PRN, which go to a file through handles 3 and 4
        mov ah, 3Ch
        xor cx, cx
        mov dx, output
        int 21h
        mov si, ax
        mov bx, ax
        mov ah, 46h
        mov cx, 3
        int 21h
        mov ah, 46h
        mov cx, 4
        int 21h
        mov dl, 'a'
        dos 0400h
        mov dl, 'p'
        dos 0500h
        xor cx, cx
        xor dx, dx
        mov bx, si
        dos 4201h                       ; where it is now
        show "written", ax
        xor dx, dx
        dos 4200h
        dos 0300h
        mov ah, 0
        show "aux", ax
        line
        ; -- random records and blocks by FCB
        mov dx, control
        dos 1600h
        mov ah, 0
        show "made", ax
        mov word [control + 14], 16     ; bytes of a record
        mov byte [control + 32], 0
        mov word [control + 33], 3
        mov word [control + 35], 0
        mov dx, control
        dos 2200h
        mov ah, 0
        show "random", ax
        mov word [control + 33], 5
        mov cx, 2
        mov dx, control
        dos 2800h
        mov ah, 0
        show "block", ax
        show "records", cx
        show "next", word [control + 33]
        mov ax, [control + 16]
        show "size", ax
        mov dx, control
        dos 1000h
        mov dx, control
        dos 1300h
        mov ah, 0
        show "deleted", ax
        line
        ; -- drives
        dos 0D00h
        push ds
        dos 1B00h                       ; AL, CX, DX = sectors, bytes, clusters; DS:BX = kind
        mov al, [bx]
        pop ds
        mov ah, 0
        show "medium", ax
        show "sector", cx
        push ds
        xor dx, dx
        dos 1C00h
        pop ds
        show "sector", cx
        push ds
        dos 1F00h                       ; DS:BX = parameters, of a drive that is no network's
        pop ds
        mov ah, 0
        show "parameters", ax
        push ds
        mov dl, 27
        dos 3200h
        pop ds
        mov ah, 0
        show "none", ax
        line
        ; -- programs
        mov ax, cs
        add ax, 1000h
        mov dx, ax
        mov [other], ax
        dos 2600h
        mov es, [other]
        show "copy", word [es:0]
        mov dx, [other]
        mov si, 9000h
        dos 5500h
        show "child", word [es:0]
        show "end", word [es:2]
        mov ax, [es:16h]
        mov dx, cs
        sub ax, dx
        show "parent", ax
        dos 5100h
        sub bx, [other]
        show "now", bx
        mov bx, cs
        dos 5000h
        push cs
        pop es
        line
        ; -- files
        mov cx, 0
        mov dx, temporary
        dos 5A00h
        jc .none
        mov bx, ax
        mov al, [temporary + 2]
        mov ah, 0
        cmp al, 0
        show "has a name", 1
.none:  mov si, 1
        mov di, 10
        xor cx, cx
        mov dx, 100
        dos 5C00h
        show "lock", ax
        line
        mov ah, 3Eh
        int 21h
        mov ah, 41h
        mov dx, temporary
        int 21h
        ; -- what is there
        dos 3000h
        mov ah, 0
        show "version", ax
        push ds
        dos 5D06h
        mov ax, ds
        pop ds
        cmp ax, 0
        je .sda
        say "swappable "
.sda:   mov dx, name
        dos 5E00h
        jc .lone
        show "has a name", cx
.lone:  mov bx, 0
        dos 5F02h
        result "redirected"
        push ds
        dos 6300h
        mov ax, [si]
        pop ds
        show "lead bytes", ax
        dos 7303h
        mov ah, 0
        show "no FAT32", ax
        line
        mov bp, reserved                ; functions of CP/M that do nothing but AL = 0
.each:  mov ah, [cs:bp]
        cmp ah, 0
        je .over
        mov al, 55h
        int 21h
        mov ah, 0
        show "", ax
        inc bp
        jmp .each
.over:  line
        mov ah, 41h
        mov dx, input
        int 21h
        mov ah, 41h
        mov dx, output
        int 21h
        mov ah, 0                       ; the end, with 0
        int 21h
reserved:
        db 18h, 1Dh, 1Eh, 20h, 61h, 6Bh, 0
input:  db "INPUT.TXT", 0
output: db "OUTPUT.TXT", 0
typed:  db "xyab", 13, 10, "second", 13, 10
typed_end:
kept:   dw 0
other:  dw 0
buffer: db 10, 0, "............"
control:
        db 0, "RANDOM  DAT"
        times 25 db 0
temporary:
        db ".\", 0
        times 14 db 0
name:   times 16 db 0
