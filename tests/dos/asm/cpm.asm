; The call at PSP:5, as CP/M programs do.
%include "print.inc"
start:
        mov cl, 2
        mov dl, "z"
        call 5
        mov cl, 9
        mov dx, msg
        call 5
        line
        quit 0
msg:    db "dollar string$"
