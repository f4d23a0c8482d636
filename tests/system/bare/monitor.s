# Runs scenarios in protected mode and writes what each of them changed to port E9.
#
# Linked for 10000h, entered there in real mode.  At 40000h lie, made by tests/system/bare/image.py:
# the number of scenarios, the first contents of TABLES, and for each scenario
#   patches: count, then address, size in bytes, bytes (padded to 4) each
#   frame:   EIP CS EFLAGS ESP SS ES DS FS GS, as iret pops them
# A scenario runs until its first exception or interrupt whose gate leads here.  Then come, as
# little-endian dwords: address and value of each dword of TABLES that it changed, and FFFFFFFFh.
        .set AREA, 0x1000          # tables, task states, stacks
        .set AREA_SIZE, 0x4000
        .set SHADOW, 0x20000       # AREA before the scenario ran
        .set INPUT, 0x40000
        .set RESULT, 0x4F00        # in AREA: what is nowhere else in memory
        .set STACK, 0xA000

        .text
        .code16
        .globl start
start:  cli
        mov $0x1000, %ax
        mov %ax, %ds
        lgdtl gdtr - start
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $0x08, $flat
        .code32
flat:   mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov $STACK, %esp
        mov $INPUT, %esi
        lodsl
        mov %eax, left
        mov %esi, first
        add $AREA_SIZE, %esi
        mov %esi, next
        cld

again:  subl $1, left
        jns go
        mov $0xF4, %edx            # isa-debug-exit
        xor %eax, %eax
        outl %eax, %dx
stop:   cli
        hlt
        jmp stop

go:     mov first, %esi
        mov $AREA, %edi
        mov $AREA_SIZE / 4, %ecx
        rep movsl
        mov next, %esi
        lodsl
        mov %eax, %ebx
1:      sub $1, %ebx
        js 2f
        lodsl
        mov %eax, %edi
        lodsl
        mov %eax, %ecx
        add $3, %eax
        and $-4, %eax
        lea (%esi,%eax), %edx
        rep movsb
        mov %edx, %esi
        jmp 1b
2:      mov %esi, %ebp
        add $36, %esi
        mov %esi, next
        mov $AREA, %esi
        mov $SHADOW, %edi
        mov $AREA_SIZE / 4, %ecx
        rep movsl
        lgdt tables
        lidt tables + 6
        mov $0x30, %eax
        lldt %ax
        mov $0x28, %eax
        ltr %ax
        orl $0x200, SHADOW + 0x2C  # the busy bit that this set
        mov $0x23, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %fs
        mov %eax, %gs
        xor %eax, %eax
        xor %ebx, %ebx
        xor %ecx, %ecx
        xor %edx, %edx
        xor %esi, %esi
        xor %edi, %edi
        testl $0x20000, %ss:8(%ebp)
        jnz 3f
        testb $3, %ss:4(%ebp)
        jnz 3f
        mov %ss:12(%ebp), %esp     # ring 0: iret pops no stack
        pushl %ss:8(%ebp)
        pushl %ss:4(%ebp)
        pushl %ss:(%ebp)
        xor %ebp, %ebp
        iret
3:      mov %ebp, %esp
        xor %ebp, %ebp
        iret

# One stub of 16 bytes for each vector, where image.py looks for them.
        .org 0x200
stubs:  .set i, 0
        .rept 256
        .balign 16
        pushl $i
        jmp caught
        .set i, i + 1
        .endr

caught: pushal
        .irp segment, ds, es, fs, gs
        pushl $0                   # a push of the register may write 16 bits or 32
        movw %\segment, (%esp)
        .endr
        mov $0x10, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %esp, RESULT
        xor %eax, %eax
        mov %ss, %ax
        mov %eax, RESULT + 4
        mov %cs, %ax
        mov %eax, RESULT + 8
        pushf
        pop %eax
        mov %eax, RESULT + 12
        mov %cr0, %eax
        mov %eax, RESULT + 16
        mov %cr2, %eax
        mov %eax, RESULT + 20
        xor %eax, %eax
        str %ax
        mov %eax, RESULT + 24
        sldt %ax
        mov %eax, RESULT + 28
        mov %dr6, %eax
        mov %eax, RESULT + 32
        mov %dr7, %eax
        mov %eax, RESULT + 36
        xor %eax, %eax
        mov %eax, %dr7
        mov %eax, %dr0
        mov %eax, %dr1
        mov %eax, %dr2
        mov %eax, %dr3
        mov $0xFFFF0FF0, %eax
        mov %eax, %dr6
        mov $0x10, %eax
        mov %eax, %ss
        mov $STACK, %esp
        pushl $2
        popf
        clts
        mov $AREA, %esi
        mov $SHADOW, %edi
        mov $AREA_SIZE / 4, %ecx
1:      mov (%esi), %eax
        cmp (%edi), %eax
        je 2f
        mov %esi, %ebx
        call put
        mov %eax, %ebx
        call put
2:      add $4, %esi
        add $4, %edi
        sub $1, %ecx
        jnz 1b
        mov $-1, %ebx
        call put
        jmp again

put:    push %eax
        mov $4, %edx
1:      mov %bl, %al
        outb %al, $0xE9
        shr $8, %ebx
        sub $1, %edx
        jnz 1b
        pop %eax
        ret

        .balign 8
gdt:    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdtr:   .word 23
        .long gdt
tables: .word 0x1FF                # GDT
        .long 0x1000
        .word 0x7FF                # IDT
        .long 0x1800
left:   .long 0
first:  .long 0
next:   .long 0
