; EMS: pages, the frame, contexts, names, moves, errors.
%include "print.inc"
%macro  ems 1
        mov ah, %1
        int 67h
%endmacro
%macro  answer 1
        mov al, ah
        mov ah, 0
        show %1, ax
        line
%endmacro
start:
        mov ax, 3567h
        int 21h
        mov di, 0Ah
        mov si, driver
        mov cx, 8
        repe cmpsb
        je .found
        say "no EMS", 13, 10
        quit 1
.found: push cs
        pop es
        mov ax, 3D00h
        mov dx, driver
        int 21h
        jc .bad
        mov bx, ax
        mov ax, 4400h
        int 21h
        and dx, 80h
        show "device", dx
        mov ax, 4407h
        int 21h
        mov ah, 0
        show "ready", ax
        mov ah, 3Eh
        int 21h
        line
.bad:   ems 40h
        answer "status"
        ems 46h
        mov ah, al
        mov al, 0
        show "version", ax
        line
        ems 41h
        mov [frame], bx
        answer "frame"
        mov bx, 4
        ems 43h
        mov [handle], dx
        answer "allocate"
        mov cx, 4
.fill:  mov bx, cx
        dec bx
        mov al, 0
        mov dx, [handle]
        push cx
        ems 44h
        pop cx
        mov es, [frame]
        mov al, cl
        add al, "a"
        xor di, di
        stosb
        mov [es:3FFFh], al
        loop .fill
        mov cx, 4
.read:  mov bx, 4
        sub bx, cx
        mov ax, cx
        dec al
        mov dx, [handle]
        push cx
        ems 44h
        pop cx
        loop .read
        ; now pages 3 to 0 are at the frame's pages 0 to 3
        mov es, [frame]
        mov al, [es:0]
        mov ah, [es:4000h]
        show "pages", ax
        mov al, [es:0BFFFh]
        mov ah, [es:0FFFFh]
        show "pages", ax
        line
        mov dx, [handle]
        ems 47h
        answer "save"
        mov dx, [handle]
        ems 47h
        answer "save"
        mov ax, 4400h
        mov bx, 0FFFFh
        mov dx, [handle]
        int 67h
        answer "unmap"
        mov dx, [handle]
        ems 48h
        answer "restore"
        mov al, [es:0]
        mov ah, 0
        show "page", ax
        line
        mov dx, [handle]
        mov bx, 9
        mov al, 0
        ems 44h
        answer "bad page"
        mov dx, [handle]
        mov bx, 0
        mov al, 4
        ems 44h
        answer "bad physical"
        mov dx, 99
        ems 44h
        answer "bad handle"
        mov dx, [handle]
        ems 4Ch
        show "count", bx
        line
        mov dx, [handle]
        mov bx, 6
        ems 51h
        show "count", bx
        answer "reallocate"
        push cs
        pop es
        mov ax, 5301h
        mov dx, [handle]
        mov si, name
        int 67h
        answer "name"
        mov ax, 5401h
        mov si, name
        int 67h
        mov bx, [handle]
        cmp bx, dx
        jne .no
        say "found", 13, 10
.no:    mov ax, 5700h
        mov byte [move + 4], 0
        mov word [move + 7], name
        mov [move + 9], cs
        mov byte [move + 11], 1
        mov ax, [handle]
        mov [move + 12], ax
        mov word [move + 14], 3FFCh
        mov word [move + 16], 4
        mov si, move
        mov ax, 5700h
        int 67h
        answer "move"
        mov dx, [handle]
        mov bx, 5
        mov al, 0
        ems 44h
        mov es, [frame]
        mov ax, [es:0]
        show "text", ax
        line
        mov ax, 5800h
        push cs
        pop es
        mov di, buffer
        int 67h
        show "physical", cx
        mov ax, [buffer]
        sub ax, [frame]
        show "first", ax
        line
        mov dx, [handle]
        ems 45h
        answer "free"
        mov dx, [handle]
        ems 45h
        answer "free"
        quit 0
driver: db "EMMXXXX0", 0
name:   db "ABCDEFGH"
frame:  dw 0
handle: dw 0
move:   dd 8
        times 14 db 0
buffer: times 64 db 0
