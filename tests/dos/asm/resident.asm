; Programs that stay: by INT 27h and function 31h, called by their parent; one that is loaded only
; (4B01h) and started by hand; one that is loaded as an overlay (4B03h); INT 28h and 29h.
%include "print.inc"
start:  mov al, [82h]
        cmp al, 'A'
        je near stay27
        cmp al, 'B'
        je near stay31
        cmp al, 'C'
        je near ends
        mov sp, stack
        mov bx, stack + 15
        shr bx, 4
        mov ah, 4Ah
        int 21h
        call largest
        mov [free], bx
        mov [block + 4], cs
        mov [block + 8], cs
        mov [block + 12], cs
        mov word [block + 2], tail_a
        call execute
        mov word [block + 2], tail_b
        call execute
        mov ax, 1
        int 60h
        show "first", ax
        int 61h
        show "both", ax
        call largest
        mov ax, [free]
        cmp ax, bx
        ja .less
        say "nothing stayed "
.less:  line
        mov word [block + 2], tail_c
        push cs
        pop es
        mov ax, 4B01h
        mov dx, name
        mov bx, block
        int 21h
        result "load"
        mov ah, 62h
        int 21h
        mov ax, [block + 20]
        sub ax, bx
        show "cs-psp", ax
        mov ax, [block + 16]
        sub ax, bx
        show "ss-psp", ax
        show "ip", word [block + 18]
        line
        mov es, bx                      ; where its end goes to
        mov word [es:0Ah], .ended
        mov [es:0Ch], cs
        mov [cs:old_sp], sp
        mov ds, bx
        mov ss, [cs:block + 16]
        mov sp, [cs:block + 14]
        jmp far [cs:block + 18]
.ended: cli
        mov ax, cs
        mov ss, ax
        mov sp, [cs:old_sp]
        sti
        mov ds, ax
        mov es, ax
        mov ah, 4Dh
        int 21h
        show "ended with", ax
        mov ah, 62h
        int 21h
        mov ax, cs
        sub ax, bx
        show "psp", ax
        line
        mov ax, cs                      ; 64 KiB above
        add ax, 1000h
        mov [block], ax
        mov [block + 2], ax
        mov ax, 4B03h
        mov dx, name
        mov bx, block
        int 21h
        result "overlay"
        mov es, [block]
        mov ax, [es:overlay - 100h]
        show "its word", ax
        int 28h
        mov al, '*'
        int 29h
        line
        quit 0
execute:
        mov word [block], 0
        push cs
        pop es
        mov ax, 4B00h
        mov dx, name
        mov bx, block
        int 21h
        mov ah, 4Dh
        int 21h
        show "code", ax
        ret
largest:
        mov ah, 48h
        mov bx, 0FFFFh
        int 21h
        ret
stay27: mov ax, 2560h
        mov dx, adds
        int 21h
        mov dx, behind
        int 27h
stay31: mov ax, 2561h
        mov dx, chains
        int 21h
        mov ax, 3105h
        mov dx, (behind - start + 300h) / 16
        int 21h
ends:   mov ax, 4C09h
        int 21h
adds:   add ax, 1111h
        iret
chains: int 60h
        add ax, 2222h
        iret
name:   db "RESIDENT.COM", 0
tail_a: db 2, " A", 13
tail_b: db 2, " B", 13
tail_c: db 2, " C", 13
overlay:
        dw 5A5Ah
block:  times 24 db 0
free:   dw 0
old_sp: dw 0
behind: times 400 db 0
stack:
