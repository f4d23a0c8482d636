; What programs wait by: the refresh bit and counter 2 at port 61h, counter 0, the ticks of the BIOS,
; the retrace of the display, INT 15h. None of it stands still.
%include "print.inc"
%macro  counter 1                       ; AX = a counter, latched
        mov al, %1 << 6
        out 43h, al
        in al, 40h + %1
        mov ah, al
        in al, 40h + %1
        xchg al, ah
%endmacro
start:  mov bx, 20                      ; changes of the refresh bit, every 15 us
.bit:   in al, 61h
        and al, 10h
        mov ah, al
        mov ecx, 10000000
.same:  in al, 61h
        and al, 10h
        cmp al, ah
        jne .next
        dec ecx
        jnz .same
        say "no refresh", 13, 10
        quit 1
.next:  dec bx
        jnz .bit
        say "refresh", 13, 10
        in al, 61h                      ; counter 2 as a stop watch: mode 0, its output is bit 5
        and al, 0FCh
        out 61h, al
        mov al, 0B0h
        out 43h, al
        mov ax, 11932                   ; 10 ms
        out 42h, al
        mov al, ah
        out 42h, al
        in al, 61h
        and al, 20h
        mov ah, 0
        show "before", ax
        counter 2
        mov dx, ax
        counter 2
        sub dx, ax
        show "gate closed", dx
        in al, 61h
        or al, 1
        out 61h, al
        mov ecx, 100000000
.over:  in al, 61h
        test al, 20h
        jnz .rang
        dec ecx
        jnz .over
.rang:  and al, 21h
        mov ah, 0
        show "behind", ax
        line
        counter 0
        mov dx, ax
        mov ecx, 10000000
.down:  counter 0
        cmp ax, dx
        jne .runs
        dec ecx
        jnz .down
        say "counter 0 stands", 13, 10
.runs:  push word 40h
        pop es
        mov ax, [es:6Ch]
        add ax, 2
.tick:  hlt
        cmp [es:6Ch], ax
        jne .tick
        say "ticks", 13, 10
        mov ah, 86h
        xor cx, cx
        mov dx, 5000
        int 15h
        jc .short
        say "waited", 13, 10
.short: mov dx, 3DAh
        mov bx, 2
.blank: in al, dx
        test al, 8
        jz .blank
.shown: in al, dx
        test al, 8
        jnz .shown
        dec bx
        jnz .blank
        say "retraces", 13, 10
        quit 0
