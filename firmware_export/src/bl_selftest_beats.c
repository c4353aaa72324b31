/* Golden vectors of beats; see ../include/bl_selftest_beats.h. */

#include "bl_selftest_beats.h"

/* A chain that runs, and the beats that are to come. */
typedef struct {
    bl_beats *beats;
    const bl_golden_beat *next;
    bl_selftest_rest rest;
} beat_run;

static int is_same_beat(const bl_beat_finding *f, const bl_golden_beat *g,
                        uint32_t classes)
{
    int same = f->peak == g->peak && f->start == g->start &&
               f->assessable == g->assessable;
    uint32_t i;

    if (!same || !f->assessable)
        return same;
    same = f->class_number == g->class_number && f->warnings == g->warnings;
    for (i = 0; i < BL_FEATURES; i++)
        same &= f->features[i] == g->features[i];
    for (i = 0; i < classes; i++)
        same &= f->scores[i] == g->scores[i];
    return same;
}

static void compare_beat(void *context, const bl_beat_finding *f)
{
    beat_run *r = context;

    if (!bl_selftest_next(&r->rest))
        return;
    r->rest.same &=
        is_same_beat(f, r->next, r->beats->task->lead.model->classes);
    r->next++;
}

static int push_to_beats(void *context, const int16_t *counts, uint32_t count)
{
    beat_run *r = context;

    return bl_beats_push(r->beats, counts, count, compare_beat, r);
}

int bl_selftest_beats(const bl_golden_beats *g, bl_beats *beats,
                      uint32_t *memory, uint32_t bytes)
{
    beat_run r;
    int rc = bl_beats_init(beats, g->task, g->sensor, memory, bytes);

    r.beats = beats;
    r.next = g->beats;
    r.rest.left = g->beat_count;
    r.rest.same = 1;
    if (rc == BL_OK)
        rc = bl_selftest_feed(push_to_beats, &r, g->counts, g->count);
    if (rc == BL_OK)
        rc = bl_beats_end(beats, compare_beat, &r);
    return rc == BL_OK ? bl_selftest_result(&r.rest) : rc;
}
