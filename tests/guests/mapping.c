// Memory maps: files shared and private, remap, protections by read/write, brk, overlaps.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void show(const char *name, long result) { printf("%s %ld %s\n", name, result, result < 0 ? strerror(errno) : "ok"); }
int main(void) {
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 3000; i++) if (write(fd, &i, 4) != 4) return 1;
    uint32_t *shared = mmap(0, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *own = mmap(0, 12000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
    shared[1030] = 0xdeadbeef; own[1] = 7;
    uint32_t word; show("pread", pread(fd, &word, 4, 1030 * 4)); printf("%x %u %x %u\n", word, shared[2999], own[6], own[1]);
    show("msync", msync(shared, 12288, MS_SYNC));
    show("ftruncate", ftruncate(fd, 5000)); show("truncated", shared[1240]);
    uint8_t *a = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(a, 5, 65536);
    show("hole", munmap(a + 8192, 4096));
    uint8_t *again = mmap(a + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); printf("fixed %d %d\n", again == a + 8192, again[0]);
    int p[2]; if (pipe(p)) return 1;
    show("write unreadable", (mprotect(a + 4096, 4096, PROT_NONE), write(p[1], a + 4096, 10)));
    show("write ok", write(p[1], a + 4086, 10));
    show("read into ro", read(p[0], again, 10));
    show("read ok", read(p[0], a, 10));
    munmap(a + 40960, 4096); show("mprotect hole", mprotect(a + 36864, 12288, PROT_READ));
    uint8_t *grown = mremap(a + 16384, 8192, 1 << 20, MREMAP_MAYMOVE); printf("mremap %d %d %d\n", grown != MAP_FAILED, grown[0], grown[500000]);
    uint8_t *shrunk = mremap(grown, 1 << 20, 4096, 0); printf("shrink %d %d\n", shrunk == grown, shrunk[4095]);
    show("munmap unaligned", munmap(a + 1, 4096)); show("mmap zero", (long)mmap(0, 0, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    show("mmap badfd", (long)mmap(0, 4096, 3, MAP_PRIVATE, 99, 0)); show("noreplace", (long)mmap(a, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    char *start = sbrk(0); show("brk", brk(start + 200000)); start[199999] = 1; show("shrink", brk(start)); show("grow", brk(start + 200000)); printf("fresh %d\n", start[199999]);
    for (int i = 0; i < 200; i++) { void *m = malloc(i * 977 + 1); memset(m, i, i * 977 + 1); if (i % 3) free(m); }
    show("madvise", madvise(shrunk, 4096, MADV_DONTNEED)); printf("zeroed %d\n", shrunk[0]);
    struct iovec v[2] = {{"abc", 3}, {"defg", 4}}; show("writev", writev(p[1], v, 2)); char buffer[8] = {0}; show("readv", read(p[0], buffer, 7)); puts(buffer);
    v[1].iov_base = (void *)16; show("writev fault", writev(p[1], v, 2));
    uint8_t vec[4]; show("mincore", mincore(shrunk, 4096, vec)); show("mlock", mlock(shrunk, 4096));
    struct stat st; show("fstat", fstat(fd, &st)); printf("%ld %o\n", (long)st.st_size, st.st_mode);
    void *big = mmap(0, 0x40000000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); printf("big %d\n", big != MAP_FAILED);
    show("mprotect big", mprotect((char *)big + 0x20000000, 4096, 3)); ((volatile char *)big)[0x20000000] = 3; show("munmap big", munmap(big, 0x40000000));
    show("stack", ({ volatile char deep[4 << 20]; deep[0] = 1; deep[(4 << 20) - 1] = 2; deep[0] + deep[(4 << 20) - 1]; }));
    unlink("mapped");
    return 0;
}
