; INT 25h and 26h: the boot sector of a drive that is a directory, and nothing else.
%include "print.inc"
start:
        mov [sp_before], sp
        mov al, 2
        mov cx, 1
        xor dx, dx
        mov bx, buffer
        int 25h
        pop bx                  ; FLAGS
        result "boot sector"
        mov ax, sp
        sub ax, [sp_before]
        show "stack", ax
        show "ends", word [buffer + 510]
        show "bytes", word [buffer + 11]
        line
        mov ax, 6900h           ; the serial number is that of function 69h
        mov bl, 3
        mov dx, serial
        int 21h
        mov eax, [serial + 2]
        cmp eax, [buffer + 39]
        jne .other
        say "same serial", 13, 10
.other: mov dl, 3               ; and so is the size that of function 36h
        mov ah, 36h
        int 21h
        mov cl, [buffer + 13]
        sub ax, cx
        mov ah, 0
        show "cluster", ax
        line
        mov al, 2
        mov cx, 0FFFFh
        mov bx, packet
        mov [packet + 8], ds
        int 25h
        pop bx
        result "packet"
        mov al, 2
        mov cx, 1
        mov dx, 1
        mov bx, buffer
        int 25h
        pop bx
        result "second"
        mov al, 2
        mov cx, 1
        xor dx, dx
        mov bx, buffer
        int 26h
        pop bx
        result "write"
        mov al, 20
        mov cx, 1
        int 25h
        pop bx
        result "no drive"
        quit 0
packet: dd 0
        dw 1, buffer, 0
sp_before: dw 0
serial: times 32 db 0
buffer: times 512 db 0
