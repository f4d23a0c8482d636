/* Ends by abort: the status is the real signal, stderr stays empty. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    puts("before");
    fflush(stdout);
    abort();
}
