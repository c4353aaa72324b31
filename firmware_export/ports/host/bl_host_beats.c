/* Beats of one bundle and one sensor in a library; see bl_host_beats.h. */

#include "bl_host_beats.h"

#include "bl_beats.h"

/* Of the library. */
extern const bl_beat_task task;
extern const bl_sensor sensor;

/* What bl_host_begin lays out; the stream's own memory comes behind it. */
typedef struct {
    bl_beats beats;
    bl_host_beats *batch;
    uint32_t memory[];
} host;

static void keep_beat(void *context, const bl_beat_finding *f)
{
    host *h = context;
    uint32_t classes = task.task->model->classes;
    uint32_t bytes = (uint32_t)(task.before + task.after) * classes;
    uint32_t at = h->batch->count++, i;
    bl_host_beat *to;

    if (at >= h->batch->room)
        return;
    to = &h->batch->beats[at];
    to->peak = f->peak;
    to->start = f->start;
    to->assessable = f->assessable;
    to->class_number = f->class_number;
    to->doubts = f->doubts;
    to->columns = f->columns;
    to->lost = f->defects.lost;
    to->flat = f->defects.flat;
    to->saturated = f->defects.saturated;
    to->clipped = f->defects.clipped;
    to->unusable = f->defects.unusable;
    to->noisy = f->defects.noisy;
    to->padded = f->defects.padded;
    to->starts_padded = f->padded_ends & 1;
    to->ends_padded = f->padded_ends >> 1;
    for (i = 0; i < BL_CONTEXTS; i++)
        to->contexts[i] = f->contexts[i];
    for (i = 0; i < f->columns * classes; i++)
        h->batch->evidence[(uint64_t)at * bytes + i] = f->evidence[i];
}

static int finish(const bl_host_beats *batch, int rc)
{
    return rc == BL_OK && batch->count > batch->room ? BL_HOST_FULL : rc;
}

static host *begin_call(void *memory, bl_host_beats *batch)
{
    host *h = memory;

    batch->count = 0;
    h->batch = batch;
    return h;
}

uint32_t bl_host_bytes(void)
{
    return (uint32_t)sizeof(host) + bl_beats_memory_bytes(&task, &sensor);
}

int bl_host_begin(void *memory, uint32_t bytes)
{
    host *h = memory;

    if (bytes < bl_host_bytes())
        return BL_ERROR_ROOM;
    return bl_beats_init(&h->beats, &task, &sensor, h->memory,
                         bytes - (uint32_t)sizeof(host));
}

int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_beats *batch)
{
    host *h = begin_call(memory, batch);

    return finish(batch,
                  bl_beats_push(&h->beats, counts, count, keep_beat, h));
}

int bl_host_gap(void *memory, uint32_t counts, bl_host_beats *batch)
{
    host *h = begin_call(memory, batch);

    return finish(batch, bl_beats_gap(&h->beats, counts, keep_beat, h));
}

int bl_host_end(void *memory, bl_host_beats *batch)
{
    host *h = begin_call(memory, batch);

    return finish(batch, bl_beats_end(&h->beats, keep_beat, h));
}
