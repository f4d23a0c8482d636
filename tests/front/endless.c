// Generates code for ever, or for argv[2] functions; argv[1] says how:
//   ring    into a large buffer, again and again, without telling anybody
//   map     into a fresh mapping each time, which is unmapped afterwards
//   page    into the same page, which is overwritten
//   hot     as ring, but each on a page of its own, where it loops for long enough to become hot
//   shapes  as ring, with insns of as many shapes as possible
// The sum of all results is printed at the end; with argv[3], a dot after each so many functions.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, RING = 24 << 20, PARTS = 24 };

static uint32_t state = 1;

static uint32_t random32(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static uint8_t *put(uint8_t *at, const char *bytes, int count)
{
    memcpy(at, bytes, count);
    return at + count;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
    return at + 4;
}

// A function that computes from constants of its own: in parts, so that it has many blocks.
static uint8_t *emit(uint8_t *at, int loops, int shapes)
{
    uint8_t *top;
    at = put(at, "\xb8", 1), at = put32(at, random32()); // mov eax, imm
    at = put(at, "\xb9", 1), at = put32(at, loops);      // mov ecx, loops
    at = put(at, "\x8d\x54\x24\x80", 4);                 // lea edx, [esp-128]
    top = at;
    for (int part = 0; part < PARTS; part++) {
        switch (random32() % 5) {
        case 0: at = put(at, "\x05", 1), at = put32(at, random32()); break;                // add eax, imm
        case 1: at = put(at, "\x35", 1), at = put32(at, random32()); break;                // xor eax, imm
        case 2: at = put(at, "\x69\xc0", 2), at = put32(at, random32() | 1); break;        // imul eax, imm
        case 3: at = put(at, "\xc1\xc0", 2), *at++ = random32() & 31; break;               // rol eax, imm
        default: at = put(at, "\x89\x02\x03\x02", 4); break;                               // mov, add [edx]
        }
        if (shapes) { // op xmm, xmm of SSE2's integer rows, or op r/m, r with a scale and an index
            if (random32() & 1) {
                at = put(at, "\x66\x0f", 2);
                *at++ = "\xd4\xfc\xfd\xfe\xf8\xf9\xfa\xfb\xdb\xeb\xef\x74\x75\x76\x60\x61"[random32() & 15];
                *at++ = 0xc0 | (random32() & 63);
            } else { // push ebx; lea ebx, [base + index * scale + disp]; pop ebx
                at = put(at, "\x53\x8d\x9c", 3), *at++ = random32();
                at = put32(at, random32());
                *at++ = 0x5b;
            }
        }
        if (part % 4 == 3) // test al, imm; jz over an inc
            at = put(at, "\xa8", 1), *at++ = random32(), at = put(at, "\x74\x01\x40", 3);
    }
    at = put(at, "\x49", 1);                                    // dec ecx
    at = put(at, "\x0f\x85", 2), at = put32(at, top - (at + 4)); // jnz top
    return put(at, "\xc3", 1);
}

static uint8_t *map(size_t size)
{
    uint8_t *at = mmap(0, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        exit(1);
    return at;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "ring";
    int is_hot = !strcmp(mode, "hot");
    long count = argc > 2 ? atol(argv[2]) : -1, step = argc > 3 ? atol(argv[3]) : 0;
    int is_map = !strcmp(mode, "map"), is_page = !strcmp(mode, "page");
    int loops = is_hot ? 40000 : 3, shapes = !strcmp(mode, "shapes");
    uint8_t *ring = map(RING), *at = ring;
    uint32_t sum = 0;
    for (long i = 0; i != count; i++) {
        uint8_t *code = is_map ? map(PAGE) : at;
        uint8_t *end = emit(code, loops, shapes);
        sum = sum * 3 + ((uint32_t(*)(void))code)();
        if (is_map)
            munmap(code, PAGE);
        else if (!is_page) {
            at = is_hot ? at + PAGE : end;
            if (at > ring + RING - PAGE)
                at = ring;
        }
        if (step && (i + 1) % step == 0)
            putchar('.'), fflush(stdout);
    }
    printf("%08x\n", sum);
    return 0;
}
