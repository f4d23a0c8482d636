; Runs its argument as a command by COMSPEC /C, as C's system() does; ends with its exit code.
        cpu 386
        org 100h
        mov sp, stack
        mov ah, 4Ah
        mov bx, 100h
        int 21h
        ; the tail: "/C" and ours
        mov cl, [80h]
        mov ch, 0
        mov si, 81h
        mov di, tail + 4
        rep movsb
        mov byte [di], 13
        sub di, tail + 1
        mov ax, di
        mov [tail], al
        mov [block + 4], cs
        mov [block + 8], cs
        mov [block + 12], cs
        mov es, [2Ch]
        xor di, di
.next:  cmp dword [es:di], "COMS"
        je .found
        inc di
        jmp .next
.found: lea dx, [di + 8]
        push es
        pop ds
        push cs
        pop es
        mov bx, block
        mov ax, 4B00h
        int 21h
        mov ax, cs
        mov ss, ax
        mov sp, stack
        mov ds, ax
        jc .bad
        mov ah, 4Dh
        int 21h
        mov ah, 4Ch
        int 21h
.bad:   mov ax, 4CFEh
        int 21h
block:  dw 0, tail, 0, fcb, 0, fcb, 0
fcb:    times 16 db 0
tail:   db 0, " /C"
        times 140 db 0
        times 256 db 0
stack:
