; Calls interrupts as a table of 80 bytes a row says, and sends what came back to port E9h.
bits 16
org 0x7c00
    cli
    xor ax,ax
    mov ds,ax
    mov es,ax
    mov ss,ax
    mov sp,0x7c00
    sti
    cld
    mov [drive],dl
    mov si,dap
    mov ah,0x42
    mov dl,[drive]
    int 0x13
    jc bad
    jmp go
bad: mov al,'!'
    out 0xe9,al
    mov dx,0x501
    out dx,al
    hlt
drive db 0
dap: db 16,0
    dw 120
    dw 0,0x1000
    dq 1
saved_sp dw 0
recp dw 0
go:
    xor bx,bx
next:
    mov ax,0x1000
    mov fs,ax
    mov bx,[recp]
    mov al,[fs:bx]
    cmp al,0xff
    je done
    mov [intno+1],al
    ; fill buffer
    mov ax,0x3000
    mov es,ax
    cmp byte [fs:bx+1],0
    jne nofill
    xor di,di
    mov cx,512
    mov al,0xaa
    rep stosb
    ; copy 32 bytes of input to buffer
    mov si,bx
    add si,48
    xor di,di
    mov cx,32
cp: mov al,[fs:si]
    mov [es:di],al
    inc si
    inc di
    loop cp
nofill:
    mov [saved_sp],sp
    mov ax,[fs:bx+36]
    mov es,ax
    mov eax,[fs:bx+4]
    mov [tmpa],eax
    mov ecx,[fs:bx+12]
    mov edx,[fs:bx+16]
    mov esi,[fs:bx+20]
    mov edi,[fs:bx+24]
    mov ebp,[fs:bx+28]
    push word [fs:bx+38]
    mov ebx,[fs:bx+8]
    mov eax,[tmpa]
    pop ds
    clc
intno: int 0x00
    push ds
    push es
    pushf
    push ax
    xor ax,ax
    mov ds,ax
    pop ax
    mov [r_eax],eax
    mov [r_ebx],ebx
    mov [r_ecx],ecx
    mov [r_edx],edx
    mov [r_esi],esi
    mov [r_edi],edi
    mov [r_ebp],ebp
    pop word [r_fl]
    pop word [r_es]
    pop word [r_ds]
    mov ax,[saved_sp]
    sub ax,sp
    mov [r_sp],ax
    mov sp,[saved_sp]
    sti
    cld
    mov si,r_eax
    mov cx,36
o1: lodsb
    out 0xe9,al
    loop o1
    mov ax,0x3000
    mov es,ax
    xor si,si
    mov cx,512
o2: es lodsb
    out 0xe9,al
    loop o2
    xor ax,ax
    mov es,ax
    add word [recp],80
    jmp next
done:
    mov dx,0x501
    mov al,0
    out dx,al
    hlt
tmpa dd 0
r_eax dd 0
r_ebx dd 0
r_ecx dd 0
r_edx dd 0
r_esi dd 0
r_edi dd 0
r_ebp dd 0
r_fl dw 0
r_es dw 0
r_ds dw 0
r_sp dw 0
times 510-($-$$) db 0
dw 0xaa55
