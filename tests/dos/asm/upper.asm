; Upper memory: the chain's link, strategies, XMS; who is freed with a program.
%include "print.inc"
start:
        mov bx, 400h
        mov ah, 4Ah
        int 21h
        mov ax, 5802h
        int 21h
        mov ah, 0
        result "linked"
        call where
        mov ax, 5803h
        mov bx, 1
        int 21h
        jc .bad
        mov ax, 5802h
        int 21h
        mov ah, 0
        result "linked"
        call where
        mov ax, 5801h
        mov bx, 80h             ; upper memory first
        int 21h
        call where
        mov bx, 0FFFFh          ; more than there is of upper memory: low
        mov ah, 48h
        int 21h
        show "largest is low", bx
        line
        mov ax, 5801h
        mov bx, 40h             ; only there
        int 21h
        mov bx, 0FFFFh
        mov ah, 48h
        int 21h
        result "too much"
        show "largest", bx
        line
        mov ax, 5803h
        mov bx, 2
        int 21h
        result "bad link"
        mov ax, 5803h
        xor bx, bx
        int 21h
        mov ax, 5801h
        xor bx, bx
        int 21h
        call where
        mov ax, 4310h
        int 2Fh
        mov [entry], bx
        mov [entry + 2], es
        mov ah, 10h
        mov dx, 0FFFFh
        call far [entry]
        mov bh, 0
        show "all", ax
        show "error", bx
        show "largest", dx
        line
        mov ah, 10h
        mov dx, 100h
        call far [entry]
        mov [block], bx
        show "some", ax
        show "at", bx
        show "size", dx
        line
        mov es, bx
        mov word [es:0], 1234h
        mov ah, 12h
        mov dx, [block]
        mov bx, 200h
        call far [entry]
        show "grown", ax
        mov ax, [es:0]
        show "holds", ax
        mov ah, 11h
        mov dx, [block]
        call far [entry]
        show "freed", ax
        mov ah, 11h
        mov dx, [block]
        call far [entry]
        mov bh, 0
        show "again", ax
        show "error", bx
        line
.bad:   quit 0
where:  mov bx, 10h
        mov ah, 48h
        int 21h
        jc .end
        mov es, ax
        cmp ax, 0A000h
        jb .low
        show "upper", ax
        jmp .done
.low:   say "low"
.done:  line
        mov ah, 49h
        int 21h
.end:   ret
entry:  dd 0
block:  dw 0
