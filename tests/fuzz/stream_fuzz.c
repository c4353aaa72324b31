/*
 * libFuzzer: the whole chain, on any counts, gaps and ends in any order.
 * Asserts what firmware_export/SECURITY.md promises of it; S1 to S9 are its
 * numbers.
 *
 * Input: which sensor; span, hop, context to the left, limits of a span (a
 * byte each); then calls. A call is a byte whose lowest bits are its kind:
 * counts as they follow, one count many times, a gap, a long gap, the end,
 * nothing.
 *
 * Everything runs twice: as it comes, and one count at a time with gaps in
 * two, in memory filled with other bytes. Findings must not differ: S8.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "beatlens.h"
#include "model.h"
#include "promise.h"
#include "sensors.h" /* sensors, SENSORS, FIELD, STRIDE */

#define MAX_COUNTS 6000u
#define MAX_COLUMNS (UINT32_C(1) << 29) /* C6: lost samples fit 32 bits */
#define MAX_PIECE 64

enum { COUNTS, CONSTANT, GAP, LONG_GAP, END, NOTHING, CALLS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *at;
    size_t left;
} bytes;

/* A run, and what its findings were. */
typedef struct {
    bl_task task;
    const bl_sensor *sensor;
    bl_stream *stream;
    int single;       /* one count at a time */
    uint64_t total;   /* counts so far, lost ones too */
    uint64_t pushed;  /* of those, counts that came */
    uint32_t next;    /* where the next span begins */
    uint32_t covered; /* columns that some finding is about */
    uint32_t hash;
    int ending;
    int rest; /* what is behind the last span had its finding */
    int ended;
} run;

static uint32_t take(bytes *b, uint32_t count)
{
    uint32_t value = 0;

    for (; count > 0; count--) {
        value = value << 8;
        if (b->left > 0) {
            value |= *b->at++;
            b->left--;
        }
    }
    return value;
}

/* Columns that `counts` counts are, as whole ones. */
static uint64_t count_columns(const run *r, uint64_t counts)
{
    return counts * r->sensor->up / ((uint64_t)r->sensor->down * STRIDE);
}

/* Findings */

static void mix(run *r, uint32_t value)
{
    r->hash = (r->hash ^ value) * UINT32_C(16777619);
}

static void check_order(run *r, const bl_finding *f)
{
    uint32_t span = r->task.lead.kept, hop = r->task.hop;

    PROMISE(!r->rest && !r->ended); /* S2 */
    if (f->columns >= span) {
        PROMISE(f->start == r->next);
        PROMISE((f->columns - span) % hop == 0);
        PROMISE(f->columns == span || f->defects.lost > 0);
        r->next += f->columns - span + hop;
    } else {
        PROMISE(r->ending && f->start == r->covered && !f->assessable);
        r->rest = 1;
    }
    PROMISE(f->columns <= INT32_MAX); /* S3 */
    r->covered = f->start + f->columns;
    PROMISE(r->covered <= count_columns(r, r->total) + 1);
}

static void check_defects(const bl_finding *f)
{
    const bl_defects *d = &f->defects;
    uint32_t most = f->columns * STRIDE; /* S4 */

    PROMISE(d->lost <= most && d->flat <= most && d->clipped <= most);
    PROMISE(d->noisy <= most);
    PROMISE(d->saturated <= most && d->padded <= f->columns);
    PROMISE(d->unusable >= d->flat && d->unusable >= d->saturated);
    PROMISE(d->unusable <= d->flat + d->saturated);
    PROMISE(d->lost + d->unusable <= most);
}

static void check_evidence(run *r, const bl_stream *s, const bl_finding *f)
{
    uint32_t c, i;

    PROMISE(f->columns == r->task.lead.kept);
    for (c = 0; c < model.classes; c++) {
        int32_t sum = 0;

        for (i = 0; i < f->columns; i++) {
            int8_t evidence = bl_evidence(s, f, i, c);

            sum += evidence;
            mix(r, (uint8_t)evidence);
        }
        PROMISE(sum == f->sums[c]); /* S5 */
        PROMISE((f->decisions >> c & 1) ==
                (sum >= r->task.sum_thresholds[c])); /* S6 */
    }
    PROMISE(f->decisions >> model.classes == 0);
}

static void take_finding(void *context, const bl_stream *s, const bl_finding *f)
{
    run *r = context;
    const bl_defects *d = &f->defects;
    const bl_task *t = &r->task;
    int readable = d->lost == 0 && d->unusable <= t->limits.max_unusable &&
                   d->clipped <= t->limits.max_clipped;

    PROMISE(s == r->stream);
    check_order(r, f);
    check_defects(f);
    PROMISE(f->assessable == (readable && !r->rest)); /* S7 */
    PROMISE(f->warnings ==
            (f->assessable && d->noisy > t->limits.max_noisy ? BL_WARNING_NOISY : 0));
    mix(r, f->start);
    mix(r, f->columns);
    mix(r, f->decisions);
    mix(r, d->lost);
    mix(r, d->flat);
    mix(r, d->saturated);
    mix(r, d->clipped);
    mix(r, d->unusable);
    mix(r, d->noisy);
    mix(r, d->padded);
    if (f->assessable)
        check_evidence(r, s, f);
    else
        PROMISE(f->decisions == 0);
}

/* Calls */

static void expect(const run *r, int rc)
{
    PROMISE(rc == (r->ended ? BL_ERROR_ENDED : BL_OK)); /* S1 */
}

static void push(run *r, const int16_t *counts, uint32_t count)
{
    uint32_t step = r->single ? 1 : count;

    if (!r->ended) {
        if (r->pushed + count > MAX_COUNTS)
            return;
        r->total += count;
        r->pushed += count;
    }
    if (count == 0 || r->ended) {
        expect(r, bl_push(r->stream, counts, count, take_finding, r));
        return;
    }
    for (; count > 0; count -= step, counts += step)
        expect(r, bl_push(r->stream, counts, step, take_finding, r));
}

static void push_counts(run *r, bytes *b)
{
    uint32_t count = take(b, 1) % (MAX_PIECE + 1), i;
    int16_t *counts = malloc(count > 0 ? count * sizeof *counts : 1);

    PROMISE(counts != NULL);
    for (i = 0; i < count; i++)
        counts[i] = (int16_t)((int32_t)take(b, 2) - 32768);
    push(r, counts, count);
    free(counts);
}

static void push_constant(run *r, bytes *b)
{
    int16_t counts[MAX_PIECE];
    uint32_t times = take(b, 2) % 2048, i;
    int32_t value = (int32_t)take(b, 2) - 32768;

    for (i = 0; i < MAX_PIECE; i++) /* alternates with one that is near */
        counts[i] = (int16_t)(i % 2 ? value ^ 3 : value);
    for (; times > MAX_PIECE; times -= MAX_PIECE)
        push(r, counts, MAX_PIECE);
    push(r, counts, times);
}

static void gap(run *r, uint32_t counts)
{
    uint32_t first = r->single ? counts / 3 : 0;

    if (!r->ended) {
        if (count_columns(r, r->total + counts) >= MAX_COLUMNS)
            return;
        r->total += counts;
    }
    expect(r, bl_gap(r->stream, first, take_finding, r));
    expect(r, bl_gap(r->stream, counts - first, take_finding, r));
}

static void end(run *r)
{
    r->ending = 1;
    expect(r, bl_end(r->stream, take_finding, r));
    if (!r->ended) /* nothing was left out: S2 */
        PROMISE(r->covered >= count_columns(r, r->total));
    r->ended = 1;
}

static void call(run *r, bytes *b)
{
    switch (take(b, 1) % CALLS) {
    case COUNTS:
        push_counts(r, b);
        break;
    case CONSTANT:
        push_constant(r, b);
        break;
    case GAP:
        gap(r, take(b, 1));
        break;
    case LONG_GAP:
        gap(r, take(b, 4));
        break;
    case END:
        if (take(b, 1) % 4 == 0) /* seldom: little comes behind it */
            end(r);
        break;
    default:
        push(r, NULL, 0);
    }
}

/* Runs */

static const int32_t thresholds[] = {0, 100, -100, 1000};

static void set_task(run *r, bytes *b)
{
    bl_task *t = &r->task;

    r->sensor = sensors[take(b, 1) % SENSORS];
    t->lead.model = &model;
    t->sum_thresholds = thresholds;
    t->lead.kept = (uint16_t)(1 + take(b, 1) % 80);
    t->hop = (uint16_t)(1 + take(b, 1) % t->lead.kept);
    t->lead.left = (uint16_t)(take(b, 1) % (FIELD - STRIDE + 1));
    t->lead.right = (uint16_t)(FIELD - STRIDE - t->lead.left);
    t->lead.stride = STRIDE;
    t->limits.max_unusable = take(b, 1);
    t->limits.max_clipped = take(b, 1);
    t->limits.max_noisy = 4u * t->lead.kept;
}

/* Memory is a block of exactly the size asked for: S9. */
static uint32_t run_all(bytes b, int single)
{
    uint32_t size, *memory;
    run r;

    memset(&r, 0, sizeof r);
    r.single = single;
    set_task(&r, &b);
    size = bl_memory_bytes(&r.task, r.sensor);
    memory = malloc(size);
    r.stream = malloc(sizeof *r.stream);
    PROMISE(memory != NULL && r.stream != NULL && size % 4 == 0);
    memset(memory, single ? 0xa5 : 0, size);
    memset(r.stream, single ? 0x5a : 0, sizeof *r.stream);
    PROMISE(bl_init(r.stream, &r.task, r.sensor, memory, size - 1) ==
            BL_ERROR_MEMORY);
    PROMISE(bl_init(r.stream, &r.task, r.sensor, memory, size) == BL_OK);
    while (b.left > 0)
        call(&r, &b);
    end(&r);
    free(memory);
    free(r.stream);
    return r.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes b;

    b.at = data;
    b.left = size;
    PROMISE(run_all(b, 0) == run_all(b, 1)); /* S8 */
    return 0;
}
