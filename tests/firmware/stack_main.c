/*
 * On a board: how deep each function of the library goes into the stack.
 * Paints the stack below, calls, and looks how much paint is left. Writes bytes
 * for bl_init, bl_push, bl_gap, bl_end, bl_unpack_open and bl_unpack_row, then
 * decided windows and rows read, so that a test sees that they did their work.
 */
#include "beatlens.h"
#include "bl_unpack.h"
#include "cases.h" /* counts, COUNTS, packed, ROW */
#include "semihost.h"
#include "sensor.h"
#include "task.h"

#define DEEP 1024 /* words */
#define PAINT 0xa5c3961eu
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))

static uint32_t memory[TASK_MEMORY_BYTES(SENSOR_TAPS) / 4];
static int8_t row[ROW];
static bl_stream stream;
static bl_unpack unpack;
static uint32_t decided;
static int wrong;

/* Where the stack of what is called from here begins. */
INLINE uint32_t *painted(void)
{
    uint32_t *sp;
    volatile uint32_t *at;
    int i;

    __asm__ volatile("mov %0, sp" : "=r"(sp));
    at = sp;
    for (i = 0; i < DEEP; i++)
        *--at = PAINT;
    return sp;
}

INLINE int32_t used(uint32_t *sp)
{
    volatile uint32_t *at = sp - DEEP;

    while (at < sp && *at == PAINT)
        at++;
    return (int32_t)((sp - at) * 4);
}

static void count_decided(void *context, const bl_stream *s,
                          const bl_finding *f)
{
    (void)context;
    (void)s;
    decided += f->assessable;
}

APART int32_t of_init(void)
{
    uint32_t *sp = painted();

    wrong |= bl_init(&stream, &task, &sensor, memory, sizeof memory);
    return used(sp);
}

APART int32_t of_push(uint32_t first, uint32_t count)
{
    uint32_t *sp = painted();

    wrong |= bl_push(&stream, counts + first, count, count_decided, 0);
    return used(sp);
}

APART int32_t of_gap(void)
{
    uint32_t *sp = painted();

    wrong |= bl_gap(&stream, 40000, count_decided, 0);
    return used(sp);
}

APART int32_t of_end(void)
{
    uint32_t *sp = painted();

    wrong |= bl_end(&stream, count_decided, 0);
    return used(sp);
}

APART int32_t of_open(uint32_t number)
{
    uint32_t *sp = painted();

    wrong |= bl_unpack_open(&unpack, packed[number], packed_bytes[number]);
    return used(sp);
}

APART int32_t of_row(void)
{
    uint32_t *sp = painted();

    wrong |= bl_unpack_row(&unpack, row, sizeof row);
    return used(sp);
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static void measure_stream(void)
{
    int32_t push;

    host_number(of_init());
    push = of_push(0, COUNTS / 2); /* many columns in one call */
    host_number(larger(push, of_push(COUNTS / 2, COUNTS / 4)));
    host_number(of_gap());
    push = of_push(COUNTS / 4 * 3, COUNTS / 4); /* begins with a gap */
    host_number(of_end());
    host_number(push);
}

static int32_t measure_unpack(void)
{
    int32_t opened = 0, read = 0, rows = 0;
    uint32_t i;

    for (i = 0; i < PACKED; i++) {
        opened = larger(opened, of_open(i));
        for (; unpack.row < unpack.outputs && !wrong; rows++)
            read = larger(read, of_row());
    }
    host_number(opened);
    host_number(read);
    return rows;
}

int main(void)
{
    int32_t rows;

    measure_stream();
    rows = measure_unpack();
    host_number((int32_t)decided);
    host_number(rows);
    return wrong != 0;
}
