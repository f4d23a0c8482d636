// Says that it runs and spins for ever, or with an argument writes for ever.
#include <unistd.h>
int main(int argc, char **argv) {
    (void)argv;
    write(1, "spin\n", 5);
    for (volatile unsigned n = 0;; n++)
        if (argc > 1) write(1, "y\n", 2);
}
