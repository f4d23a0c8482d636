; Files by handle: contents, file pointers, attributes, dates, names, and what fails.
%include "print.inc"
start:
        mov ah, 3Ch
        mov dx, name
        xor cx, cx
        int 21h
        mov [handle], ax
        mov bx, ax
        mov ah, 40h
        mov cx, 10
        mov dx, data
        int 21h
        result "write"
        mov ax, 4201h
        xor cx, cx
        xor dx, dx
        int 21h
        result "tell"
        mov ax, 4200h
        mov dx, 4
        int 21h
        result "seek"
        mov ah, 3Fh
        mov cx, 20
        mov dx, buffer
        int 21h
        result "read"
        mov byte [buffer + 6], 0
        mov si, buffer
        call print
        line
        mov ax, 4202h
        mov cx, -1
        mov dx, -3
        int 21h
        result "from the end"
        mov ah, 40h
        xor cx, cx
        int 21h
        result "cut"
        mov ax, 4202h
        xor cx, cx
        xor dx, dx
        int 21h
        result "size"
        mov ax, 4200h
        xor cx, cx
        mov dx, 20
        int 21h
        mov ah, 40h
        mov cx, 1
        mov dx, data
        int 21h
        result "behind the end"
        mov ax, 4202h
        xor dx, dx
        int 21h
        result "size"
        mov ax, 5701h
        mov cx, 0110000100010000b       ; 12:08:32
        mov dx, 0001100001100101b       ; 1992-03-05
        int 21h
        jc .bad
        mov ax, 5700h
        int 21h
        jc .bad
        show "time", cx
        show "date", dx
        line
.bad:   mov ah, 3Eh
        int 21h
        jc .bad2
        say "closed", 13, 10
.bad2:  mov ah, 3Eh
        int 21h
        result "close again"
        mov ah, 3Fh
        mov bx, 77
        mov cx, 1
        int 21h
        result "read 77"
        mov ax, 3D00h
        mov dx, name
        int 21h
        mov bx, ax
        mov ah, 40h
        mov cx, 1
        int 21h
        result "write to read-only handle"
        mov ah, 3Eh
        int 21h
        mov ax, 3D01h
        mov dx, name
        int 21h
        mov bx, ax
        mov ah, 3Fh
        mov cx, 1
        mov dx, buffer
        int 21h
        result "read from write-only handle"
        mov ah, 3Eh
        int 21h
        mov ax, 4300h
        mov dx, name
        int 21h
        show "attributes", cx
        line
        mov ax, 4301h
        mov cx, 1
        int 21h
        mov ax, 3D02h
        int 21h
        result "open read-only file"
        mov ah, 41h
        int 21h
        result "delete read-only file"
        mov ah, 3Ch
        xor cx, cx
        int 21h
        result "create over read-only file"
        mov ax, 4300h
        int 21h
        show "attributes", cx
        line
        mov ax, 4301h
        mov cx, 20h
        int 21h
        mov ah, 5Bh
        int 21h
        result "create new"
        mov ax, 3D00h
        mov dx, missing
        int 21h
        result "open missing"
        mov dx, nowhere
        mov ax, 3D00h
        int 21h
        result "open nowhere"
        mov ax, 3D00h
        mov dx, baddrive
        int 21h
        result "open bad drive"
        mov ah, 41h
        mov dx, missing
        int 21h
        result "delete missing"
        push ds
        pop es
        mov ah, 56h
        mov dx, missing
        mov di, name
        int 21h
        result "rename missing"
        mov dx, name
        mov di, other
        mov ah, 56h
        int 21h
        jc .bad3
        say "renamed", 13, 10
.bad3:  mov ax, 3D00h
        mov dx, name
        int 21h
        result "open old name"
        mov ah, 59h
        xor bx, bx
        int 21h
        call hex
        line
        mov ah, 41h
        mov dx, other
        int 21h
        jc .bad4
        say "deleted", 13, 10
.bad4:  mov ax, 6C00h
        mov si, name
        mov bx, 2
        xor cx, cx
        mov dx, 1
        int 21h
        result "6C missing"
        mov ax, 6C00h
        mov dx, 11h
        int 21h
        jc .bad5
        mov bx, ax
        show "6C made", cx
        line
        mov ah, 40h
        mov cx, 5
        mov dx, data
        int 21h
        mov ah, 3Eh
        int 21h
        mov ax, 6C00h
        mov bx, 2
        xor cx, cx
        mov dx, 12h
        int 21h
        jc .bad5
        mov bx, ax
        show "6C emptied", cx
        line
        mov ax, 4202h
        xor cx, cx
        xor dx, dx
        int 21h
        result "size"
        mov ah, 3Eh
        int 21h
.bad5:  mov ah, 41h
        mov dx, name
        int 21h
        ; a device by name
        mov ax, 3D02h
        mov dx, nul
        int 21h
        jc .bad6
        mov bx, ax
        mov ah, 40h
        mov cx, 10
        mov dx, data
        int 21h
        result "write to nul"
        mov ah, 3Fh
        mov cx, 10
        mov dx, buffer
        int 21h
        result "read from nul"
        mov ah, 3Eh
        int 21h
.bad6:  ; redirect handle 1 to a file and back
        mov ah, 3Ch
        mov dx, name
        xor cx, cx
        int 21h
        mov [handle], ax
        mov ah, 45h
        mov bx, 1
        int 21h
        mov [saved], ax
        mov ah, 46h
        mov bx, [handle]
        mov cx, 1
        int 21h
        mov ah, 3Eh
        mov bx, [handle]
        int 21h
        mov ah, 9
        mov dx, hidden
        int 21h
        mov ah, 46h
        mov bx, [saved]
        mov cx, 1
        int 21h
        mov ah, 3Eh
        mov bx, [saved]
        int 21h
        mov ax, 3D00h
        mov dx, name
        int 21h
        mov bx, ax
        mov ah, 3Fh
        mov cx, 100
        mov dx, buffer
        int 21h
        result "in the file"
        mov ah, 3Eh
        int 21h
        mov ah, 41h
        mov dx, name
        int 21h
        quit 7
name:   db "TEST.DAT", 0
other:  db "OTHER.DAT", 0
missing: db "MISSING.DAT", 0
nowhere: db "NOWHERE\X.DAT", 0
baddrive: db "Q:X.DAT", 0
nul:    db "NUL", 0
data:   db "0123456789"
hidden: db "into the file$"
handle: dw 0
saved:  dw 0
buffer: times 128 db 0
