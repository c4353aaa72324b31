/* Golden vectors of beats; see ../include/bl_selftest_beats.h. */

#include "bl_selftest_beats.h"

#define PIECE 37 /* counts pushed at once: no divisor of anything */

/* Beats to come, and whether all so far were as they should be. */
typedef struct {
    const bl_golden_beat *next;
    uint32_t left;
    uint32_t classes;
    int same;
} expected_beats;

static int same_beat(const bl_beat_finding *f, const bl_golden_beat *g,
                     uint32_t classes)
{
    int same = f->peak == g->peak && f->start == g->start &&
               f->assessable == g->assessable;
    uint32_t i;

    if (!same || !f->assessable)
        return same;
    same = f->class_number == g->class_number && f->doubts == g->doubts;
    for (i = 0; i < BL_CONTEXTS; i++)
        same &= f->contexts[i] == g->contexts[i];
    for (i = 0; i < classes; i++)
        same &= f->scores[i] == g->scores[i];
    return same;
}

static void compare_beat(void *context, const bl_beat_finding *f)
{
    expected_beats *e = context;

    if (e->left == 0) {
        e->same = 0;
        return;
    }
    e->same &= same_beat(f, e->next, e->classes);
    e->next++;
    e->left--;
}

int bl_selftest_beats(const bl_golden_beats *g, bl_beats *beats,
                      uint32_t *memory, uint32_t bytes)
{
    expected_beats e;
    uint32_t done, now;
    int rc = bl_beats_init(beats, g->task, g->sensor, memory, bytes);

    e.next = g->beats;
    e.left = g->beat_count;
    e.classes = g->task->task->model->classes;
    e.same = 1;
    for (done = 0; rc == BL_OK && done < g->count; done += now) {
        now = g->count - done < PIECE ? g->count - done : PIECE;
        rc = bl_beats_push(beats, g->counts + done, now, compare_beat, &e);
    }
    if (rc == BL_OK)
        rc = bl_beats_end(beats, compare_beat, &e);
    if (rc != BL_OK)
        return rc;
    return e.same && e.left == 0 ? BL_OK : BL_SELFTEST_DIFFERS;
}
