; Long file names: made, found, renamed and deleted; what is on the host already.
%include "print.inc"
start:
        mov ax, 71A0h
        mov dx, root
        mov di, buffer
        mov cx, 32
        stc
        int 21h
        result "volume"
        show "flags", bx
        show "name", cx
        show "path", dx
        line
        mov ax, 7139h
        mov dx, dir
        stc
        int 21h
        result "mkdir"
        mov ax, 713Bh
        mov dx, dir
        stc
        int 21h
        result "chdir"
        mov ax, 716Ch
        mov bx, 2
        xor cx, cx
        mov dx, 11h
        mov si, file
        stc
        int 21h
        result "create"
        show "done", cx
        line
        mov bx, ax
        mov ah, 40h
        mov cx, 5
        mov dx, file
        int 21h
        mov ah, 3Eh
        int 21h
        mov ax, 716Ch
        mov bx, 0
        xor cx, cx
        mov dx, 1
        mov si, fileup
        stc
        int 21h
        result "open in capitals"
        mov bx, ax
        mov ah, 3Eh
        int 21h
        mov ax, 7147h
        xor dx, dx
        mov si, buffer
        stc
        int 21h
        result "getcwd"
        mov si, buffer
        call print
        line
        mov ax, 7160h
        mov cx, 1
        mov si, file
        mov di, buffer
        stc
        int 21h
        result "short"
        mov si, buffer
        call print
        line
        mov ax, 7160h
        mov cx, 2
        mov si, sname
        mov di, buffer
        stc
        int 21h
        result "long"
        mov si, buffer
        call print
        line
        mov ax, 714Eh
        mov cx, 16h
        mov dx, everything
        mov si, 1
        mov di, buffer
        stc
        int 21h
        result "find"
        mov bx, ax
.more:  mov si, buffer + 2Ch
        call print
        say "|"
        mov si, buffer + 130h
        call print
        mov ax, [buffer + 20h]
        show "|size", ax
        line
        mov ax, 714Fh
        mov si, 1
        mov di, buffer
        stc
        int 21h
        jnc .more
        result "end"
        mov ax, 71A1h
        stc
        int 21h
        result "close"
        mov ax, 7156h
        mov dx, file
        mov di, newf
        stc
        int 21h
        result "rename"
        mov ax, 7143h
        mov bl, 0
        mov dx, newf
        stc
        int 21h
        result "attributes"
        show "", cx
        line
        mov ax, 7141h
        mov dx, pat
        mov si, 1
        mov cx, 0
        stc
        int 21h
        result "delete"
        mov ax, 713Bh
        mov dx, up
        stc
        int 21h
        result "up"
        mov ax, 713Ah
        mov dx, dir
        stc
        int 21h
        result "rmdir"
        mov ax, 713Bh
        mov dx, esc
        stc
        int 21h
        result "escape"
        mov ax, 71FEh
        stc
        int 21h
        result "none"
        ; two names that differ in case only, one that DOS cannot have, a device, a bad name
        mov ax, 714Eh
        mov cx, 6
        mov dx, texts
        xor si, si
        mov di, buffer
        stc
        int 21h
        result "host"
        mov bx, ax
.again: mov si, buffer + 2Ch
        call print
        say "|"
        mov si, buffer + 130h
        call print
        line
        mov ax, 714Fh
        xor si, si
        mov di, buffer
        stc
        int 21h
        jnc .again
        mov ax, 71A7h
        mov bl, 0
        mov si, buffer + 14h
        stc
        int 21h
        result "time"
        show "date", dx
        show "time", cx
        line
        mov ax, 7139h
        mov dx, device
        stc
        int 21h
        result "device"
        mov ax, 7139h
        mov dx, bad
        stc
        int 21h
        result "bad"
        mov ax, 71A8h
        mov dh, 1
        mov si, file
        mov di, buffer
        stc
        int 21h
        result "alias"
        mov si, buffer
        call print
        line
        mov ax, 716Ch           ; a long name must not be cut to one that is there
        mov bx, 2
        xor cx, cx
        mov dx, 11h
        mov si, longer
        stc
        int 21h
        result "longer"
        quit 0
root:   db "C:\", 0
dir:    db "A Directory with a Name", 0
file:   db "Some File+name.html", 0
fileup: db "SOME FILE+NAME.HTML", 0
sname:  db "SOMEFI~1.HTM", 0
newf:   db "other name.text", 0
pat:    db "*.text", 0
everything: db "*.*", 0
up:     db "..", 0
esc:    db "..\..\..\tmp", 0
texts:  db "*.txt", 0
device: db "aux.long", 0
bad:    db "a<b", 0
longer: db "README12345.TXT", 0
buffer: times 400 db 0
