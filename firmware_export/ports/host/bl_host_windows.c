/* The chain of windows in a library; see bl_host.h. */

#include "beatlens.h"
#include "bl_host_chain.h"

/* Of the library. */
extern const bl_task task;
extern const bl_sensor sensor;

/* What bl_host_begin lays out; the stream's own memory comes behind it. */
typedef struct {
    bl_stream stream;
    uint32_t memory[];
} host;

static uint32_t find_kind(const bl_stream *s, const bl_finding *f)
{
    if (f->columns < task.lead.kept)
        return BL_HOST_REST;
    /* Windows inside a gap are found before its columns are added. */
    return s->lead.columns < f->start + f->columns ? BL_HOST_GAP : BL_HOST_SPAN;
}

static void copy_columns(const bl_stream *s, const bl_finding *f,
                         int8_t *evidence, uint8_t *flags)
{
    uint32_t classes = task.lead.model->classes, kept = task.lead.kept;
    uint32_t place = f->start % kept, i, c;

    for (i = 0; i < f->columns; i++) {
        const int8_t *from = s->lead.evidence + place * classes;
        const bl_quality *q = &s->lead.quality[place];

        for (c = 0; c < classes; c++)
            *evidence++ = from[c];
        flags[i] = (uint8_t)((q->unusable + q->clipped > 0 ? BL_HOST_BAD : 0) |
                             (q->marks & BL_PADDED ? BL_HOST_PADDED : 0));
        place = place + 1 == kept ? 0 : place + 1;
    }
}

static void keep_finding(void *context, const bl_stream *s, const bl_finding *f)
{
    bl_host_batch *batch = context;
    uint32_t classes = task.lead.model->classes, at = bl_host_next(batch), c, i;
    uint32_t kind = find_kind(s, f);
    bl_host_window *to;

    if (at == batch->room)
        return;
    to = (bl_host_window *)batch->findings + at;
    bl_host_describe(&to->span, f->start, f->columns, &f->defects,
                     kind == BL_HOST_GAP
                         ? 0
                         : bl_lead_padded_ends(&s->lead, f->start, f->columns));
    to->span.assessable = f->assessable;
    to->span.warnings = f->warnings;
    to->kind = kind;
    to->decisions = f->decisions;
    for (i = 0; i < BL_WINDOW_FEATURES; i++)
        to->features[i] = f->features != 0 ? f->features[i] : 0;
    for (c = 0; c < classes; c++)
        batch->sums[at * classes + c] = f->sums[c];
    if (f->assessable)
        copy_columns(s, f,
                     batch->evidence + (uint64_t)at * task.lead.kept * classes,
                     batch->flags + (uint64_t)at * task.lead.kept);
}

uint32_t bl_host_chain_bytes(void)
{
    return (uint32_t)sizeof(host) + bl_memory_bytes(&task, &sensor);
}

int bl_host_chain_begin(void *memory, uint32_t bytes)
{
    host *h = memory;

    return bl_init(&h->stream, &task, &sensor, h->memory,
                   bytes - (uint32_t)sizeof(host));
}

int bl_host_chain_push(void *memory, const int16_t *counts, uint32_t count,
                       bl_host_batch *batch)
{
    host *h = memory;

    return bl_push(&h->stream, counts, count, keep_finding, batch);
}

int bl_host_chain_gap(void *memory, uint32_t counts, bl_host_batch *batch)
{
    host *h = memory;

    return bl_gap(&h->stream, counts, keep_finding, batch);
}

int bl_host_chain_end(void *memory, bl_host_batch *batch)
{
    host *h = memory;

    return bl_end(&h->stream, keep_finding, batch);
}
