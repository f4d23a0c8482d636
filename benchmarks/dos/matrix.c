/* Products of matrices of 40 x 40 numbers. */
#include <stdio.h>
#define N 40
static int a[N][N], b[N][N], c[N][N];
int main() {
    unsigned round;
    int i, j, k, sum;
    for (i = 0; i < N; i++)
        for (j = 0; j < N; j++) {
            a[i][j] = i * 3 + j;
            b[i][j] = i - j * 5;
        }
    for (round = 0; round < ROUNDS * 6; round++) {
        for (i = 0; i < N; i++)
            for (j = 0; j < N; j++) {
                sum = 0;
                for (k = 0; k < N; k++) sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        a[round % N][3] += c[7][5];
    }
    printf("%d\n", c[11][13]);
    return 0;
}
