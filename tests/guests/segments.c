/* TLS descriptors, the LDT and segment registers as a 32-bit task under a 64-bit kernel has them. */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int words[4] = {0x11, 0x22, 0x33, 0x44};

static void show(const char *title, int result, struct user_desc *d)
{
    printf("%s: %d entry %d limit %#x 32bit %d contents %d ro %d pages %d absent %d useable %d\n", title,
           result < 0 ? -errno : result, d->entry_number, d->limit, d->seg_32bit, d->contents,
           d->read_exec_only, d->limit_in_pages, d->seg_not_present, d->useable);
}

int main(void)
{
    struct user_desc d;
    int value, cs, ds, es, ss, fs, gs;
    unsigned char raw[64];

    __asm__("movl %%cs,%0; movl %%ds,%1; movl %%es,%2" : "=r"(cs), "=r"(ds), "=r"(es));
    __asm__("movl %%ss,%0; movl %%fs,%1; movl %%gs,%2" : "=r"(ss), "=r"(fs), "=r"(gs));
    printf("cs %x ds %x es %x ss %x fs %x gs %x\n", cs, ds, es, ss, fs & 0xffff, gs & 0xffff);

    memset(&d, 0, sizeof d);
    d.entry_number = -1;
    d.base_addr = (unsigned)words;
    d.limit = 0xfffff;
    d.seg_32bit = 1;
    d.limit_in_pages = 1;
    d.useable = 1;
    value = syscall(SYS_set_thread_area, &d);
    show("set", value, &d);
    int selector = d.entry_number * 8 + 3;
    __asm__ volatile("movw %w1,%%fs; movl %%fs:4,%0" : "=r"(value) : "r"(selector));
    printf("fs:4 = %x\n", value);
    __asm__ volatile("movl %1,%%fs:8" :: "r"(0), "r"(0x99));
    printf("word %x\n", words[2]);
    d.base_addr = (unsigned)(words + 1);
    syscall(SYS_set_thread_area, &d);
    __asm__ volatile("movl %%fs:4,%0" : "=r"(value));
    printf("moved: %x\n", value);
    struct user_desc got = {.entry_number = d.entry_number};
    value = syscall(SYS_get_thread_area, &got);
    show("get", value, &got);
    printf("base %d\n", got.base_addr == (unsigned)(words + 1));
    got.entry_number = 3;
    printf("bad entry %d", syscall(SYS_get_thread_area, &got));
    printf(" %d\n", errno);
    struct user_desc empty = {.entry_number = d.entry_number, .read_exec_only = 1, .seg_not_present = 1};
    printf("clear %d\n", syscall(SYS_set_thread_area, &empty));
    got.entry_number = d.entry_number;
    value = syscall(SYS_get_thread_area, &got);
    show("get", value, &got);

    __asm__ volatile("movw %w0,%%fs" :: "r"(0));
    printf("ldt empty %ld\n", syscall(SYS_modify_ldt, 0, raw, sizeof raw));
    d.entry_number = 2;
    d.base_addr = (unsigned)words;
    d.limit = 15;
    d.limit_in_pages = 0;
    printf("ldt write %ld\n", syscall(SYS_modify_ldt, 0x11, &d, sizeof d));
    __asm__ volatile("movw %w1,%%fs; movl %%fs:12,%0" : "=r"(value) : "r"(2 * 8 + 7));
    printf("ldt fs:12 = %x\n", value);
    value = syscall(SYS_modify_ldt, 0, raw, sizeof raw);
    printf("ldt read %d:", value);
    printf(" %02x %02x .. %02x %02x\n", raw[16], raw[17], raw[21], raw[22]);
    printf("ldt bad %ld", syscall(SYS_modify_ldt, 1, &d, 3));
    printf(" %d\n", errno);
    __asm__ volatile("movw %w0,%%fs" :: "r"(0));
    return 0;
}
