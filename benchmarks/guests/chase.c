/* Integer, memory latency: a chain of pointers through 4 MiB. A step is a thousand links. */
#define STEPS 25000
#include "bench.h"

enum { CELLS = 1 << 16 };
typedef struct Cell {
    struct Cell *next;
    unsigned payload[15];
} Cell;

static Cell *cells, *at;
static unsigned sum;

static void setup(void)
{
    cells = malloc(CELLS * sizeof *cells);
    unsigned *order = malloc(CELLS * sizeof *order);
    for (unsigned i = 0; i < CELLS; i++)
        order[i] = i;
    for (unsigned i = CELLS - 1; i > 0; i--) {
        unsigned j = next_random() % (i + 1), t = order[i];
        order[i] = order[j], order[j] = t;
    }
    for (unsigned i = 0; i < CELLS; i++) {
        cells[order[i]].next = &cells[order[(i + 1) % CELLS]];
        cells[order[i]].payload[3] = i;
    }
    at = cells;
}

static void run(unsigned steps)
{
    Cell *cell = at;
    for (unsigned n = steps * 1000; n; n--) {
        sum += cell->payload[3];
        cell = cell->next;
    }
    at = cell;
}

static void result(void)
{
    printf("%u\n", sum);
}
