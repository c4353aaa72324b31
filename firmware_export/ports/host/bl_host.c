/* The chain of one bundle and one sensor in a library; see bl_host.h. */

#include "bl_host.h"

#include "beatlens.h"

/* Of the library. */
extern const bl_task task;
extern const bl_sensor sensor;

/* What bl_host_begin lays out; the stream's own memory comes behind it. */
typedef struct {
    bl_stream stream;
    uint32_t memory[];
} host;

static uint32_t kind_of(const bl_stream *s, const bl_finding *f)
{
    if (f->columns < task.span)
        return BL_HOST_REST;
    /* The spans inside a gap are said before its columns are added. */
    return s->columns < f->start + f->columns ? BL_HOST_GAP : BL_HOST_SPAN;
}

static void copy_columns(const bl_stream *s, const bl_finding *f,
                         int8_t *evidence, uint8_t *flags)
{
    uint32_t classes = task.model->classes;
    uint32_t place = f->start % task.span, i, c;

    for (i = 0; i < f->columns; i++) {
        const int8_t *from = s->evidence + place * classes;
        const bl_quality *q = &s->quality[place];

        for (c = 0; c < classes; c++)
            *evidence++ = from[c];
        flags[i] = (uint8_t)((q->unusable + q->clipped > 0 ? BL_HOST_BAD : 0) |
                             (q->marks & BL_PADDED ? BL_HOST_PADDED : 0));
        place = place + 1 == task.span ? 0 : place + 1;
    }
}

/* Is the finding's first column padded, is its last? */
static void note_ends(const bl_stream *s, const bl_finding *f,
                      bl_host_finding *to)
{
    uint32_t last = f->start + f->columns - 1;

    to->starts_padded = to->ends_padded = 0;
    if (to->kind == BL_HOST_GAP || f->columns == 0)
        return;
    to->starts_padded = s->quality[f->start % task.span].marks & BL_PADDED;
    to->ends_padded = s->quality[last % task.span].marks & BL_PADDED;
}

static void keep_finding(void *context, const bl_stream *s, const bl_finding *f)
{
    bl_host_batch *batch = context;
    uint32_t classes = task.model->classes, at = batch->count++, c;
    bl_host_finding *to;

    if (at >= batch->room)
        return;
    to = &batch->findings[at];
    to->kind = kind_of(s, f);
    to->start = f->start;
    to->assessable = f->assessable;
    to->decisions = f->decisions;
    to->doubts = f->doubts;
    to->columns = f->columns;
    to->lost = f->defects.lost;
    to->flat = f->defects.flat;
    to->saturated = f->defects.saturated;
    to->clipped = f->defects.clipped;
    to->unusable = f->defects.unusable;
    to->noisy = f->defects.noisy;
    to->padded = f->defects.padded;
    note_ends(s, f, to);
    for (c = 0; c < classes; c++)
        batch->sums[at * classes + c] = f->sums[c];
    if (f->assessable)
        copy_columns(s, f, batch->evidence + (uint64_t)at * task.span * classes,
                     batch->flags + (uint64_t)at * task.span);
}

static int finish(const bl_host_batch *batch, int rc)
{
    return rc == BL_OK && batch->count > batch->room ? BL_HOST_FULL : rc;
}

uint32_t bl_host_bytes(void)
{
    return (uint32_t)sizeof(host) + bl_memory_bytes(&task, &sensor);
}

int bl_host_begin(void *memory, uint32_t bytes)
{
    host *h = memory;

    if (bytes < bl_host_bytes())
        return BL_ERROR_ROOM;
    return bl_init(&h->stream, &task, &sensor, h->memory,
                   bytes - (uint32_t)sizeof(host));
}

int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_batch *batch)
{
    host *h = memory;

    batch->count = 0;
    return finish(batch,
                  bl_push(&h->stream, counts, count, keep_finding, batch));
}

int bl_host_gap(void *memory, uint32_t counts, bl_host_batch *batch)
{
    host *h = memory;

    batch->count = 0;
    return finish(batch, bl_gap(&h->stream, counts, keep_finding, batch));
}

int bl_host_end(void *memory, bl_host_batch *batch)
{
    host *h = memory;

    batch->count = 0;
    return finish(batch, bl_end(&h->stream, keep_finding, batch));
}
