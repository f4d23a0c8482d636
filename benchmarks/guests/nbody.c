/* Doubles, x87 or SSE2 by the compiler's flag: planets. A step is ten thousand steps in time. */
#define STEPS 1700
#include <math.h>
#include "bench.h"

typedef struct {
    double x, y, z, vx, vy, vz, mass;
} Body;

static Body bodies[5] = {
    {0, 0, 0, 0, 0, 0, 39.47},
    {4.84, -1.16, -.10, .6, 2.8, -.02, .037},
    {8.34, 4.12, -.4, -1.01, 1.82, .008, .011},
    {12.89, -15.11, -.22, 1.08, .868, -.01, .0017},
    {15.37, -25.9, .179, .979, .594, -.034, .002},
};

static void setup(void) {}

static void run(unsigned steps)
{
    for (unsigned n = steps * 10000; n; n--) {
        for (int i = 0; i < 5; i++)
            for (int j = i + 1; j < 5; j++) {
                Body *a = &bodies[i], *b = &bodies[j];
                double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
                double d = dx * dx + dy * dy + dz * dz, pull = 0.001 / (d * sqrt(d));
                a->vx -= dx * b->mass * pull, b->vx += dx * a->mass * pull;
                a->vy -= dy * b->mass * pull, b->vy += dy * a->mass * pull;
                a->vz -= dz * b->mass * pull, b->vz += dz * a->mass * pull;
            }
        for (int i = 0; i < 5; i++) {
            Body *a = &bodies[i];
            a->x += .001 * a->vx, a->y += .001 * a->vy, a->z += .001 * a->vz;
        }
    }
}

static void result(void)
{
    printf("%.12g\n", bodies[0].x);
}
