/* Integer, indirect calls: a tree of objects, evaluated through their method tables. A step
 * evaluates it once. */
#define STEPS 37000
#include "bench.h"

typedef struct Node Node;
typedef struct {
    unsigned (*value)(Node *, unsigned);
} Methods;
struct Node {
    const Methods *methods;
    Node *left, *right;
    unsigned number;
};

static unsigned call(Node *n, unsigned x) { return n->methods->value(n, x); }
static unsigned leaf(Node *n, unsigned x) { return n->number ^ x; }
static unsigned sum(Node *n, unsigned x) { return call(n->left, x) + call(n->right, x); }
static unsigned product(Node *n, unsigned x) { return call(n->left, x) * (call(n->right, x) | 1); }
static unsigned choice(Node *n, unsigned x) { return call(x & n->number ? n->left : n->right, x); }
static unsigned shift(Node *n, unsigned x) { return call(n->left, x >> 1) + n->number; }

static const Methods kinds[] = {{sum}, {product}, {choice}, {shift}}, leaves = {leaf};
static Node *root;
static unsigned total;

static Node *grow(int depth)
{
    Node *n = malloc(sizeof *n);
    n->number = next_random();
    n->methods = depth ? &kinds[n->number >> 4 & 3] : &leaves;
    if (depth) {
        n->left = grow(depth - 1);
        n->right = grow(depth - 1);
    }
    return n;
}

static void setup(void)
{
    root = grow(16);
}

static void run(unsigned steps)
{
    while (steps--)
        total = total * 31 + call(root, total);
}

static void result(void)
{
    printf("%u\n", total);
}
