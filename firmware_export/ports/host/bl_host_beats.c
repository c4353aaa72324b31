/* The chain of beats in a library; see bl_host.h. */

#include "bl_beats.h"
#include "bl_host_chain.h"

/* Of the library. */
extern const bl_beat_task task;
extern const bl_sensor sensor;

/* What bl_host_begin lays out; the stream's own memory comes behind it. */
typedef struct {
    bl_beats beats;
    uint32_t memory[];
} host;

static void keep_beat(void *context, const bl_beat_finding *f)
{
    bl_host_batch *batch = context;
    uint32_t classes = task.lead.model->classes;
    uint32_t bytes = (uint32_t)(task.before + task.after) * classes;
    uint32_t at = bl_host_next(batch), i;
    bl_host_beat *to;

    if (at == batch->room)
        return;
    to = (bl_host_beat *)batch->findings + at;
    bl_host_describe(&to->span, f->start, f->columns, &f->defects,
                     f->padded_ends);
    to->span.assessable = f->assessable;
    to->span.warnings = f->warnings;
    to->peak = f->peak;
    to->rr = f->rr;
    to->class_number = f->class_number;
    to->shared = (uint32_t)f->shared;
    for (i = 0; i < BL_FEATURES; i++)
        to->features[i] = f->features[i];
    for (i = 0; i < classes; i++)
        batch->sums[at * classes + i] = f->assessable ? f->scores[i] : 0;
    for (i = 0; i < f->columns * classes; i++)
        batch->evidence[(uint64_t)at * bytes + i] = f->evidence[i];
}

uint32_t bl_host_chain_bytes(void)
{
    return (uint32_t)sizeof(host) + bl_beats_memory_bytes(&task, &sensor);
}

int bl_host_chain_begin(void *memory, uint32_t bytes)
{
    host *h = memory;

    return bl_beats_init(&h->beats, &task, &sensor, h->memory,
                         bytes - (uint32_t)sizeof(host));
}

int bl_host_chain_push(void *memory, const int16_t *counts, uint32_t count,
                       bl_host_batch *batch)
{
    host *h = memory;

    return bl_beats_push(&h->beats, counts, count, keep_beat, batch);
}

int bl_host_chain_gap(void *memory, uint32_t counts, bl_host_batch *batch)
{
    host *h = memory;

    return bl_beats_gap(&h->beats, counts, keep_beat, batch);
}

int bl_host_chain_end(void *memory, bl_host_batch *batch)
{
    host *h = memory;

    return bl_beats_end(&h->beats, keep_beat, batch);
}
