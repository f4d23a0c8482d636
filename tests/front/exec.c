// Executes the program that its arguments name.
#include <unistd.h>

int main(int argc, char **argv)
{
    (void)argc;
    return execv(argv[1], argv + 1);
}
