"""VBE's protected-mode interface (4F0Ah): machine code that 32-bit programs copy and call.

VESA BIOS Extension 3.0, function 0Ah. A table of words (where functions 05h, 07h and 09h begin, and
a list of ports) and their code, which runs wherever it was copied to. By near calls, with the
registers of INT 10h; the display's start is counted in units of four bytes, DX the upper half.
"""

from __future__ import annotations

# Assembled by nasm -f bin from what is beside it; functions are w (05h), d (07h), p (09h).
INTERFACE = bytes.fromhex(
    "08003700a300cf00"  # dw w, d, p, ports
    "84db75265189d1"  # w: test bl, bl; jnz bad; push ecx; mov ecx, edx
    "66bace0166b8050066ef42"  # mov dx, 1CEh; mov ax, 5; out dx, ax; inc edx
    "80ff01740889c866ef"  # cmp bh, 1; je get; mov eax, ecx; out dx, ax
    "89caeb05"  # mov edx, ecx; jmp done
    "66ed0fb7d0"  # get: in ax, dx; movzx edx, ax
    "59"  # done: pop ecx
    "66b84f00c3"  # ok: mov ax, 4Fh; ret
    "66b84f01c3"  # bad: mov ax, 14Fh; ret
    "f6c37f75f6600fb7c2"  # d: test bl, 7Fh; jnz bad; pusha; movzx eax, dx
    "c1e0106689c8c1e00289c6"  # shl eax, 16; mov ax, cx; shl eax, 2; mov esi, eax
    "66bace0166b8030066ef42"  # mov dx, 1CEh; mov ax, 3; out dx, ax; inc edx
    "66ed0fb7c883c107c1e903"  # in ax, dx; movzx ecx, ax; add ecx, 7; shr ecx, 3
    "4a66b8060066ef4266ed"  # dec edx; mov ax, 6; out dx, ax; inc edx; in ax, dx
    "0fb7d80fafd985db742b"  # movzx ebx, ax; imul ebx, ecx; test ebx, ebx; jz end
    "89f031d2f7f389c6"  # mov eax, esi; xor edx, edx; div ebx; mov esi, eax
    "89d031d2f7f189c1"  # mov eax, edx; xor edx, edx; div ecx; mov ecx, eax
    "66bace0166b8080066ef42"  # mov dx, 1CEh; mov ax, 8; out dx, ax; inc edx
    "89c866ef4a66b8090066ef"  # mov eax, ecx; out dx, ax; dec edx; mov ax, 9; out dx, ax
    "4289f066ef"  # inc edx; mov eax, esi; out dx, ax
    "61eb8a"  # end: popa; jmp ok
    "f6c37f758a600fb7c9"  # p: test bl, 7Fh; jnz bad; pusha; movzx ecx, cx
    "e31b89d066bac803ee42"  # jecxz last; mov eax, edx; mov dx, 3C8h; out dx, al; inc edx
    "268a4702ee268a4701"  # next: mov al, es:[edi + 2]; out dx, al; mov al, es:[edi + 1]
    "ee268a07ee83c704"  # out dx, al; mov al, es:[edi]; out dx, al; add edi, 4
    "e2ed"  # loop next
    "61e95effffff"  # last: popa; jmp ok
    "ce01cf01c803c903ffffffff"  # ports: dw 1CEh, 1CFh, 3C8h, 3C9h, -1, -1
)
