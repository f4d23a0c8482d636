// Tries every descriptor up to 1100: tells which it can see, closes them, opens a file and leaks it.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    for (int fd = 0; fd < 1100; fd++)
        if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd);
    printf("\n");
    fflush(stdout);
    for (int fd = 0; fd < 1100; fd++) close(fd);
    int first = open("/dev/null", O_RDWR), second = open("/dev/zero", O_RDONLY);
    dup2(second, 9);
    pipe((int[2]){0, 0});
    return first * 10 + second;
}
