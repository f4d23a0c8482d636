"""Where the compiled translator finds its tables and leaves its results: offsets in bytes.

The context is an array of 64-bit fields; rows of shapes and stencils are laid out below it.
"""

from __future__ import annotations

from translator.ir import CondLink, Link
from translator.semantics import updates
from translator.shape import SLOT_INDEX, Shape

# The context: what Python sets up...
PAGES = 0  # address of the table page number -> address of its bytes, 0: unknown, or:
ABSENT = 1  # what cannot be read, as long as one block is made
FORMS = 8  # address of the opcode forms (scan.py)
SHAPES = 16  # address of the hash table of shapes: entries of key (16 bytes) and row address
SHAPES_MASK = 24
PAIRS = 32  # the same for pairs: entries of setter row, jump row << 4 | live, stencil
PAIRS_MASK = 40
ARENA = 48  # host address of the arena
LEAVE = 56  # offset of jitemu_leave in it
FPR0 = 64  # state offset of the first x87 register
FAULTS = 72  # address of the fault table
FAULT_COUNT = 80  # address of the number of its rows
BUDGET, OVER, GUARD, GOTO, INTERP, RECIPE = 88, 96, 104, 112, 120, 128  # stencils of services
STUB = 136  # address of the stub: size, offsets of pc, site and leave, then the code
RECIPES = 144  # address of the recipes: row, slots 0 to 5
RECIPE_COUNT = 152
RECIPE_LIMIT = 160
# ... what is scratch...
KEY_LOW, KEY_HIGH, LENGTH, DISP, IMM, IMM2 = 168, 176, 184, 192, 200, 208  # results of scan
WINDOW_SIZE = 216
# ... and results.
MISSING, MISSING2 = 224, 232  # what a status is about
SIZE, CHECKED, LINKS, PAGE_COUNT, END, COUNT, FPU, INTERP_AT = (
    240,
    248,
    256,
    264,
    272,
    280,
    288,
    296,
)
RECIPE_AT = 304
# The code cache: its tables (table.py says what is in them)...
BLOCKS, BLOCK_COUNT, BLOCK_LIMIT = 312, 320, 328
LINK_ROWS, LINK_COUNT, LINK_LIMIT = 336, 344, 352
NODES, NODE_COUNT, NODE_LIMIT = 360, 368, 376
BUCKETS, PAGE_HEADS = 384, 392
HASHES = 400  # addresses of the two hash tables that jitemu_lookup searches
HASH_USED = 416  # entries of each that are taken
DEAD, DEAD_LIMIT = 432, 440  # blocks that were dropped, and may be
USED, ROOM = 448, 456  # address of the arena's first free offset; where the last block may begin
FAULT_LIMIT = 464
# ... and how native code goes on by itself (proceed.py).
LOCK = 472  # 1 while somebody works on any of this
PROCEEDS = 480  # bits: WITH_KNOWN, WITH_NEW
MOST, RECOVERS = 488, 496
MADE, MADE_INSNS, CYCLES = 504, 512, 520  # blocks, their insns, cycles spent on all
# Shapes and stencils that are known (known.py).
SHAPE_ROWS, SHAPE_COUNT, SHAPE_LIMIT = 528, 536, 544
PAIR_COUNT, PAIR_LIMIT = 552, 560
SYSTEM = 568  # number of the context: insns that its mode changes have keys of their own
MODEL = 576  # the processor whose forms these are; code of others is not translated
BASE, LIMIT = 584, 592  # of CS; where segments are looked up, Python says them
# Of machines with paging: words of pages (usercode.py); pages that cannot be read now.
WORDS, ABSENT_COUNT, ABSENT_LIST = 600, 608, 616
ABSENT_MAX = 16
NOTES = ABSENT_LIST + 8 * ABSENT_MAX  # address of a number for each row of the fault table
CONTEXT_HEAD = NOTES + 8
WITH_KNOWN, WITH_NEW = 1, 2
PAGE_LIST = CONTEXT_HEAD  # u64 page numbers
PAGES_MAX = 32
LINK_LIST = PAGE_LIST + 8 * PAGES_MAX  # rows: site, stub, target, unused; u32 each
LINKS_MAX = 512
LABELS = LINK_LIST + 16 * LINKS_MAX  # rows: offset of the field, addend; u64 each
LABELS_MAX = 8
ITEMS = LABELS + 16 * LABELS_MAX  # rows of ITEM_SIZE
ITEMS_MAX = 64
SLOT_COUNT = 15
# An item: shape row, live mask, slots; the note on accesses of the insn.
I_SHAPE, I_LIVE, I_SLOTS = 0, 8, 16
I_NOTE = I_SLOTS + 8 * SLOT_COUNT
ITEM_SIZE = I_NOTE + 8
PIECES = ITEMS + ITEM_SIZE * (ITEMS_MAX + 4)  # rows: stencil, item, place; u64 each
PIECE_SIZE = 24
PIECES_MAX = ITEMS_MAX + 12
FAULT_ROWS = PIECES + PIECE_SIZE * PIECES_MAX  # u32 each: access, recovery, pc, note
FAULT_ROWS_MAX = 1024
WINDOWS = FAULT_ROWS + 16 * FAULT_ROWS_MAX  # copies of code that crosses a page: form, look
WINDOW = 512
CONTEXT_SIZE = WINDOWS + 8 * WINDOW

# A block's row; all u32. Its key is address | number of its context (mode.py) << 32.
# Blocks, links and nodes are numbered from 1: 0 is none.
B_PC, B_STATE, B_FPU, B_ENTRY, B_OFFSET, B_SIZE, B_CHECKED, B_CHAIN = range(0, 32, 4)
B_LINK, B_LINK_COUNT, B_NODE, B_NODE_COUNT, B_INCOMING, B_CONTEXT = range(32, 56, 4)
BLOCK_SIZE = 64
# B_STATE: above these bits, the most insns that the block's plan may have.
VALID, PRECISE, OPEN, RECOVERING, REGION, ASIDE = 1, 2, 4, 8, 16, 32
STATE_SHIFT = 8
ANY_FPU = 0xFFFFFFFF
BUCKETS_SIZE = 1 << 17
# A link: site, stub, target, owner; where it leads now, and the next one that leads there.
L_SITE, L_STUB, L_TARGET, L_OWNER, L_TO, L_NEXT = range(0, 24, 4)
LINK_ROW = 24
# A node says that a block depends on a page, which node comes next for that page, and the page's
# word if it was active.
N_BLOCK, N_PAGE, N_NEXT, N_WORD = range(0, 16, 4)
NODE_SIZE = 16
HASH_SIZE = 1 << 17  # entries of a table that jitemu_lookup searches: guest pc + 1, host address
HASH_FACTOR, HASH_SHIFT = 2654435761, 12

# A shape's row.
S_BITS, S_GROUPS, S_FPU, S_TARGETS, S_NUMBER, S_SINGLE = 0, 8, 16, 24, 32, 40
S_KEY = S_SINGLE + 8 * 16  # 16 bytes
SHAPE_SIZE = S_KEY + 16
# S_BITS:
SUPPORTED, TERMINAL, LINK, COND, FUSIBLE, JUMP, WRAPS, EXPOSES, LEAKS, HAS_FPU, UPDATES = (
    1 << i for i in range(11)
)
# S_GROUPS: bytes of reads, writes, recoverable, registers, registers of the recovery.
# S_FPU: bytes of valid, empty, delta, fill, free, mode.
MMX, EMPTY = 1, 2

# A stencil: sizes of code and cold, numbers of holes, branches, faults, constants; then the rows.
T_CODE, T_COLD, T_HOLES, T_BRANCHES, T_FAULTS, T_CONSTANTS, T_ROWS = 0, 8, 16, 24, 32, 40, 48
HOLE_ROW = 40  # offset, size, insn, slot, addend
BRANCH_ROW = 40  # offset, addend, kind, insn or target, slot
TO_LINK, TO_NEXT, TO_PLACE, TO_LABEL = 0, 1, 2, 3
FAULT_ROW = 32  # access, recovery, insn, pc
CONSTANT_ROW = 24  # offset, addend, place in the arena

# A note on a row of the fault table: whether there is one; whether flags that are missing there are
# in no register, but for a recipe; whether the block has set none so far; whether the insn writes
# where it reads; and above these bits how many insns of the block are left.
NOTED, EXACT, UNTOUCHED, WRITING, LEFT_SHIFT = 1, 2, 4, 8, 4

# An image: shapes and stencils as they are kept on disk (known.adopt). A shape is its key and the
# facts of its row, u64 each; a stencil u32: its insn, the jump it is fused with + 1 or 0, its live
# mask, where its code begins.
IMAGE_SHAPE, IMAGE_STENCIL = 48, 16
FACTS_SIZE = 32

# What `translate` returns.
DONE, NEED_PAGE, NEED_SHAPE, NEED_STENCIL, GIVE_UP, FULL = 0, 1, 2, 3, 4, 5

# A form: 32 bytes: ModRM, then two immediates for each of the eight reg fields.
FORM_SIZE = 32
F_SENSITIVE = 17  # reg fields (mask) whose insn the mode changes
F_SSE = 18  # whether it does where there is no SSE
M_BYTE, M_WORD, M_FULL, M_OFFSET, M_FAR = 1, 2, 3, 4, 5
M_SIGNED, M_KEY, M_FIRST = 8, 16, 32
SHOWN = 16  # bit of what `look` returns


def facts(shape: Shape) -> tuple[int, ...]:
    """Return the first four fields of a shape's row."""
    need, terminal = shape.fpu, shape.terminal
    bits = (
        (shape.is_supported, SUPPORTED),
        (terminal is not None, TERMINAL),
        (isinstance(terminal, Link), LINK),
        (isinstance(terminal, CondLink), COND),
        (shape.is_fusible_jump, FUSIBLE),
        (shape.is_jump, JUMP),
        (shape.wraps_target, WRAPS),
        (shape.exposes, EXPOSES),
        (shape.leaks, LEAKS),
        (need is not None, HAS_FPU),
        (updates(shape.unit), UPDATES),
    )
    recovery = shape.recovery.registers if shape.recovery is not None else 0
    groups = (shape.reads, shape.writes, shape.recoverable, shape.registers, recovery)
    stack = b""
    if need is not None:
        mode = {"": 0, "mmx": MMX, "empty": EMPTY}[need.mode]
        stack = bytes((need.valid, need.empty, need.delta & 7, need.fill, need.free, mode))
    targets = b""
    if isinstance(terminal, Link):
        targets = bytes([SLOT_INDEX[terminal.slot]])
    elif isinstance(terminal, CondLink):
        targets = bytes((SLOT_INDEX[terminal.taken], SLOT_INDEX[terminal.otherwise]))
    return (
        sum(bit for is_set, bit in bits if is_set),
        *(int.from_bytes(numbers, "little") for numbers in (bytes(groups), stack, targets)),
    )
