; As games do: own handlers of timer (at 1000 Hz) and keyboard, a CMOS clock, text in video memory.
%include "print.inc"
start:
        mov ax, 3508h
        int 21h
        mov [oldtimer], bx
        mov [oldtimer + 2], es
        mov ax, 3509h
        int 21h
        mov [oldkeys], bx
        mov [oldkeys + 2], es
        mov ax, 2508h
        mov dx, timer
        int 21h
        mov ax, 2509h
        mov dx, keys
        int 21h
        mov al, 36h
        out 43h, al
        mov ax, 1193
        out 40h, al
        mov al, ah
        out 40h, al
        mov ax, 0B800h
        mov es, ax
        mov di, 160 * 5
        mov si, ready
        mov ah, 1Eh
.put:   lodsb
        test al, al
        jz .wait
        stosw
        jmp .put
.wait:  hlt
        cmp byte [scan], 1              ; Escape
        jne .wait
        cli
        mov al, 36h
        out 43h, al
        xor al, al
        out 40h, al
        out 40h, al
        lds dx, [oldtimer]
        mov ax, 2508h
        int 21h
        lds dx, [cs:oldkeys]
        mov ax, 2509h
        int 21h
        push cs
        pop ds
        sti
        cmp word [ticks], 20
        jb .few
        say "many "
.few:   show "ticks", word [ticks]
        show "keys", word [count]
        show "last", word [scans]
        show "", word [scans + 2]
        line
        mov ah, 0
        int 16h
        show "key", ax
        line
        say "end"
        mov ah, 0
        int 16h
        quit 0
timer:  push ax
        inc word [cs:ticks]
        mov al, 20h
        out 20h, al
        pop ax
        iret
keys:   push ax
        push bx
        in al, 60h
        mov [cs:scan], al
        mov bx, [cs:count]
        mov [cs:scans + bx], al
        inc word [cs:count]
        and word [cs:count], 15
        mov al, 20h
        out 20h, al
        pop bx
        pop ax
        iret
ready:  db "ready to play", 0
oldtimer: dd 0
oldkeys: dd 0
ticks:  dw 0
count:  dw 0
scans:  times 16 db 0
scan:   db 0
