; An extender's way without DPMI: protected mode by itself, with interrupts; back; big real mode.
%include "print.inc"
start:
        mov ax, 4300h           ; memory above the first MiB by XMS
        int 2Fh
        mov ah, 0
        show "xms", ax
        mov ax, 4310h
        int 2Fh
        mov [entry], bx
        mov [entry + 2], es
        mov ah, 9
        mov dx, 64
        call far [entry]
        mov [block], dx
        mov ah, 5               ; address line 20
        call far [entry]
        show "line", ax
        mov ah, 0Ch
        mov dx, [block]
        call far [entry]
        mov [high], bx
        mov [high + 2], dx
        smsw ax
        and ax, 1
        show "protected", ax
        line
        ; descriptors of this segment
        xor eax, eax
        mov ax, cs
        shl eax, 4
        mov [base], eax
        mov ebx, eax
        mov di, code32
        call set_base
        mov di, data16
        call set_base
        mov di, code16
        call set_base
        lea eax, [ebx + gdt]
        mov [gdtr + 2], eax
        lea eax, [ebx + idt]
        mov [idtr + 2], eax
        mov di, idt + 8 * 8     ; IRQ 0 where the BIOS has it
        mov word [di], tick
        mov word [di + 2], 8
        mov word [di + 4], 8E00h
        mov word [di + 6], 0
        mov di, idt + 13 * 8
        mov word [di], fault
        mov word [di + 2], 8
        mov word [di + 4], 8E00h
        mov word [di + 6], 0
        mov [far_real + 2], cs
        mov [far_big + 2], cs
        in al, 21h
        mov [mask], al
        cli
        mov al, 0FEh            ; the timer only
        out 21h, al
        lgdt [gdtr]
        lidt [idtr]
        mov [stack], sp
        mov [old_ss], ss
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 8:in32
bits 32
in32:   mov ax, 10h
        mov ds, ax
        mov ss, ax
        mov esp, top
        mov ax, 20h             ; all memory
        mov es, ax
        mov edi, [high]
        mov dword [es:edi], 12345678h
        sti
wait3:  cmp dword [ticks], 3
        jb wait3
        cli
        mov ax, 30h             ; a limit of 15: the next access is beyond it
        mov fs, ax
        mov al, [fs:16]
behind: mov eax, [es:edi]
        mov [seen], eax
        jmp 18h:back16
tick:   push eax
        inc dword [ticks]
        mov al, 20h
        out 20h, al
        pop eax
        iret
fault:  add esp, 4
        inc dword [faults]
        mov dword [esp], behind
        iret
bits 16
back16: mov ax, 28h             ; a data segment as real mode has it
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov eax, cr0
        and al, 0FEh
        mov cr0, eax
        jmp far [cs:far_real]
real:   mov ax, cs
        mov ds, ax
        mov es, ax
        mov ss, [old_ss]
        mov sp, [stack]
        lidt [real_idtr]
        mov al, [mask]
        out 21h, al
        sti
        mov ax, [ticks]
        cmp ax, 3
        jb .few
        say "ticks "
.few:   show "faults", word [faults]
        show "seen", word [seen]
        show "", word [seen + 2]
        line
        ; big real mode: FS keeps the limit of a protected-mode segment
        cli
        lgdt [gdtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp $ + 2
        mov bx, 20h
        mov fs, bx
        and al, 0FEh
        mov cr0, eax
        jmp far [far_big]
big:    xor ax, ax
        mov fs, ax
        sti
        mov edi, [high]
        mov eax, [fs:edi]
        add eax, 11111111h
        a32 mov [fs:edi + 4], eax
        mov eax, [fs:edi + 4]
        mov [seen], eax
        mov ah, 2Ch             ; DOS and interrupts go on
        int 21h
        show "big", word [seen]
        show "", word [seen + 2]
        line
        mov ah, 0Dh
        mov dx, [block]
        call far [entry]
        mov ah, 0Ah
        mov dx, [block]
        call far [entry]
        show "freed", ax
        line
        quit 0
set_base:
        mov [di + 2], ax
        push eax
        shr eax, 16
        mov [di + 4], al
        mov [di + 7], ah
        pop eax
        ret
        align 8
gdt:    dq 0
code32: dw 0FFFFh, 0
        db 0, 9Ah, 40h, 0
data16: dw 0FFFFh, 0
        db 0, 92h, 40h, 0
code16: dw 0FFFFh, 0
        db 0, 9Ah, 0, 0
        dw 0FFFFh, 0
        db 0, 92h, 0CFh, 0
        dw 0FFFFh, 0
        db 0, 92h, 0, 0
        dw 15, 0
        db 0, 92h, 0, 0
gdtr:   dw 37h, 0, 0
idtr:   dw 0FFh, 0, 0
real_idtr: dw 3FFh, 0, 0
far_real: dw real
        dw 0
far_big: dw big
        dw 0
entry:  dd 0
block:  dw 0
high:   dd 0
base:   dd 0
ticks:  dd 0
faults: dd 0
seen:   dd 0
stack:  dw 0
old_ss: dw 0
mask:   db 0
        align 8
idt:    times 256 db 0
        times 512 db 0
top:
