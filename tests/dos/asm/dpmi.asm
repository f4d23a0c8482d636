; A DPMI client, 32-bit or (with an argument) 16-bit: each group of functions of INT 31h.
        cpu 386
        bits 16
        org 100h
%macro  say 1+
        pushfd
        pushad
        mov si, %%text
        call print
        popad
        popfd
        jmp %%behind
%%text: db %1, 0
%%behind:
%endmacro
%macro  show 2
        say %1, "="
        push eax
        mov ax, %2
        call hex
        pop eax
        say " "
%endmacro
%macro  line 0
        say 13, 10
%endmacro
%macro  dpmi 1
        mov ax, %1
        int 31h
        jc near failed
%endmacro
        jmp start
; DS:SI, one character at a time: works in both modes
print:  lodsb
        test al, al
        jz .done
        mov dl, al
        mov ah, 2
        push si
        int 21h
        pop si
        jmp print
.done:  ret
hex:    pushfd
        pushad
        mov cx, 4
        mov bp, ax
.next:  rol bp, 4
        mov bx, bp
        and bx, 15
        mov dl, [table + bx]
        mov ah, 2
        push cx
        push bp
        int 21h
        pop bp
        pop cx
        loop .next
        popad
        popfd
        ret
table:  db "0123456789ABCDEF"
; what ends an interrupt handler or a handler of exceptions, for the client's size
%macro  return_interrupt 0
        cmp byte [cs:wide], 0
        je %%narrow
        o32 iret
%%narrow:
        iret
%endmacro
start:
        mov sp, stack
        mov ah, 4Ah
        mov bx, 200h
        int 21h
        mov [realcs], cs
        cmp byte [80h], 1
        ja .narrow
        mov byte [wide], 1
.narrow:
        mov ax, 1687h
        int 2Fh
        test ax, ax
        jz .found
        say "no DPMI", 13, 10
        mov ax, 4C01h
        int 21h
.found: mov [entry], di
        mov [entry + 2], es
        show "version", dx
        and bx, 1
        show "wide", bx
        line
        test si, si
        jz .enter
        mov bx, si
        mov ah, 48h
        int 21h
        mov es, ax
.enter: mov al, [wide]
        mov ah, 0
        call far [entry]
        jnc .in
        say "refused", 13, 10
        mov ax, 4C02h
        int 21h
.in:    say "in protected mode", 13, 10
        mov [dsel], ds
        mov [csel], cs
        mov ax, 1686h
        int 2Fh
        show "mode", ax
        mov ax, cs
        and ax, 7
        show "ring", ax
        mov ax, [es:0]
        show "psp", ax
        line
        ; descriptors
        mov cx, 2
        dpmi 0000h
        mov [sel], ax
        dpmi 0003h
        show "step", ax
        mov bx, [sel]
        mov cx, 12h
        mov dx, 3450h
        dpmi 0007h
        mov bx, [sel]
        xor cx, cx
        mov dx, 0FFh
        dpmi 0008h
        mov bx, [sel]
        dpmi 0006h
        show "base", cx
        show "", dx
        mov bx, [sel]
        lsl ax, bx
        show "limit", ax
        line
        mov bx, [sel]
        mov cx, 0089h
        mov ax, 0009h
        int 31h
        jnc .bad
        show "system segment", ax
.bad:   mov bx, 7777h
        mov ax, 0006h
        int 31h
        jnc .bad1
        show "bad selector", ax
.bad1:  line
        ; memory
        mov bx, 10h
        xor cx, cx
        dpmi 0501h
        mov [handle], di
        mov [handle + 2], si
        mov dx, cx
        mov cx, bx
        mov bx, [sel]
        dpmi 0007h
        mov bx, [sel]
        mov cx, 0Fh
        mov dx, 0FFFFh
        dpmi 0008h
        mov es, [sel]
        mov edi, 0FFFFEh
        mov word [es:edi], 0BEEFh
        mov ax, [es:edi]
        show "extended", ax
        push ds
        pop es
        mov di, [handle]
        mov si, [handle + 2]
        dpmi 0502h
        mov ax, 0502h
        int 31h
        jnc .bad2
        show "freed", ax
.bad2:  line
        ; DOS memory and segments
        mov bx, 10h
        dpmi 0100h
        mov [dosseg], ax
        mov [dossel], dx
        mov bx, dx
        dpmi 0006h
        mov ax, [dosseg]
        shl ax, 4
        sub ax, dx
        show "dos block", ax
        mov es, [dossel]
        xor di, di
        mov si, hello
        mov cx, 20
        rep movsb
        push ds
        pop es
        mov bx, 40h
        dpmi 0002h
        mov bx, ax
        dpmi 0006h
        show "bios data", dx
        line
        ; an interrupt of real mode
        mov word [regs + 1Ch], 0900h
        mov word [regs + 14h], 0
        mov ax, [dosseg]
        mov [regs + 24h], ax
        mov dword [regs + 2Eh], 0
        mov di, regs
        movzx edi, di
        mov bx, 21h
        xor cx, cx
        dpmi 0300h
        mov dx, [dossel]
        dpmi 0101h
        ; an exception: beyond the limit of a segment
        mov bl, 0Dh
        dpmi 0202h
        mov [oldexc], edx
        mov [oldexc + 4], cx
        mov bl, 0Dh
        mov cx, [csel]
        xor edx, edx
        mov dx, fault
        dpmi 0203h
        mov bx, [sel]
        xor cx, cx
        mov dx, 0Fh
        dpmi 0008h
        mov es, [sel]
        mov al, [es:100h]
        say "not reached", 13, 10
recovered:
        push ds
        pop es
        show "fault", word [faulted]
        mov bl, 0Dh
        mov edx, [oldexc]
        mov cx, [oldexc + 4]
        dpmi 0203h
        ; the same by div: exception 0
        mov bl, 0
        mov cx, [csel]
        xor edx, edx
        mov dx, fault
        dpmi 0203h
        mov word [target], recovered2
        xor bl, bl
        div bl
        say "not reached", 13, 10
recovered2:
        show "division", word [faulted]
        line
        ; a callback of real mode, called by real mode's far call
        push ds
        pop es
        mov di, regs2
        movzx edi, di
        push ds
        push cs
        pop ds
        mov si, callback
        movzx esi, si
        mov ax, 0303h
        int 31h
        pop ds
        jc near failed
        mov [regs + 2Ch], cx
        mov [regs + 2Ah], dx
        mov [oldcb], dx
        mov [oldcb + 2], cx
        mov word [regs + 1Ch], 1111h
        mov word [regs + 10h], 2222h
        mov dword [regs + 2Eh], 0
        mov di, regs
        movzx edi, di
        xor cx, cx
        dpmi 0301h
        show "callback", word [regs + 1Ch]
        show "", word [called]
        mov dx, [oldcb]
        mov cx, [oldcb + 2]
        dpmi 0304h
        line
        ; the timer: our handler counts, then goes on to the old one
        mov bl, 8
        dpmi 0204h
        mov [oldtimer], edx
        mov [oldtimer + 4], cx
        mov bl, 8
        mov cx, [csel]
        xor edx, edx
        mov dx, timer
        dpmi 0205h
        sti
.wait:  cmp word [ticks], 3
        jb .wait
        ; also while real mode waits
        mov word [ticks], 0
        mov word [regs + 1Ch], 0
        mov ax, [realcs]
        mov [regs + 2Ch], ax
        mov [regs + 24h], ax
        mov word [regs + 2Ah], realwait
        mov dword [regs + 2Eh], 0
        mov di, regs
        movzx edi, di
        xor cx, cx
        dpmi 0301h
        mov bl, 8
        mov edx, [oldtimer]
        mov cx, [oldtimer + 4]
        dpmi 0205h
        cmp word [ticks], 2
        jb .few
        say "ticks in both modes", 13, 10
.few:   ; virtual interrupt state
        dpmi 0901h
        dpmi 0900h
        and ax, 1
        show "was on", ax
        dpmi 0902h
        and ax, 1
        show "is on", ax
        dpmi 0901h
        ; a software interrupt of our own
        mov bl, 77h
        mov cx, [csel]
        xor edx, edx
        mov dx, own
        dpmi 0205h
        xor ax, ax
        int 77h
        show "own", ax
        line
        mov ax, 0FFFFh
        int 31h
        jnc .done
        show "unknown", ax
        line
.done:  mov ax, 4C09h
        int 21h
failed: show "failed", ax
        line
        mov ax, 4CFFh
        int 21h
; the handler of exceptions: on its stack are return address, error code, (E)IP, CS...
fault:  push ds
        push eax
        mov ds, [cs:dsel]
        inc word [faulted]
        mov ax, [target]
        cmp byte [wide], 0
        je .narrow
        push ebp
        mov ebp, esp
        movzx eax, ax
        mov [ss:ebp + 10 + 12], eax
        pop ebp
        pop eax
        pop ds
        o32 retf
.narrow:
        push bp
        mov bp, sp
        mov [ss:bp + 8 + 6], ax
        pop bp
        pop eax
        pop ds
        retf
; DS:(E)SI is real mode's stack, ES:(E)DI the structure
callback:
        push eax
        mov ax, [es:edi + 1Ch]
        add ax, [es:edi + 10h]
        mov [es:edi + 1Ch], ax
        mov ax, [esi]
        mov [es:edi + 2Ah], ax
        mov ax, [esi + 2]
        mov [es:edi + 2Ch], ax
        add word [es:edi + 2Eh], 4
        push ds
        mov ds, [cs:dsel]
        inc word [called]
        pop ds
        pop eax
        return_interrupt
timer:  push ds
        mov ds, [cs:dsel]
        inc word [ticks]
        pop ds
        cmp byte [cs:wide], 0
        je .narrow
        o32 jmp far [cs:oldtimer]
.narrow:
        push bp
        push bp
        push ax
        mov bp, sp
        mov ax, [cs:oldtimer + 4]
        xchg ax, [bp + 4]
        mov [bp + 2], ax
        mov ax, [cs:oldtimer]
        xchg ax, [bp + 2]
        mov bp, ax
        pop ax
        retf
own:    mov ax, 7777h
        return_interrupt
; real mode: wait for two ticks
realwait:
        sti
        mov cx, 0
.next:  cmp word [cs:ticks], 2
        jae .done
        push cx
        mov cx, 60000
.slow:  loop .slow
        pop cx
        loop .next
.done:  retf
hello:  db "from real mode", 13, 10, "$", 0
entry:  dd 0
wide:   db 0
realcs: dw 0
dsel:   dw 0
csel:   dw 0
sel:    dw 0
handle: dd 0
dosseg: dw 0
dossel: dw 0
oldexc: times 6 db 0
oldtimer: times 6 db 0
oldcb:  dd 0
faulted: dw 0
target: dw recovered
called: dw 0
ticks:  dw 0
regs:   times 50 db 0
regs2:  times 50 db 0
        times 1024 db 0
stack:
