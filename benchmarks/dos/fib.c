/* Fibonacci numbers by recursion: calls and the stack. */
#include <stdio.h>
unsigned fib(n) unsigned n; { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main() {
    unsigned round, sum;
    sum = 0;
    for (round = 0; round < ROUNDS; round++) sum += fib(23 + (round & 1));
    printf("%u\n", sum);
    return 0;
}
