/* Golden vectors of windows; see ../include/bl_selftest_windows.h. */

#include "bl_selftest_windows.h"

/* A chain that runs, and the findings that are to come. */
typedef struct {
    bl_stream stream;
    const bl_golden_finding *next;
    bl_selftest_rest rest;
} window_run;

static int has_sums(const bl_stream *s, const bl_finding *f,
                    const int32_t *sums)
{
    uint32_t classes = s->task->lead.model->classes, c, column;

    for (c = 0; c < classes; c++) {
        int32_t sum = 0;

        for (column = 0; column < f->columns; column++)
            sum += bl_evidence(s, f, column, c);
        if (f->sums[c] != sums[c] || sum != sums[c])
            return 0;
    }
    return 1;
}

static int has_features(const bl_finding *f, const uint8_t *features)
{
    uint32_t i;

    if (features == 0)
        return 1;
    for (i = 0; i < BL_WINDOW_FEATURES; i++)
        if (f->features == 0 || f->features[i] != features[i])
            return 0;
    return 1;
}

static void compare_finding(void *context, const bl_stream *s,
                            const bl_finding *f)
{
    window_run *r = context;
    const bl_golden_finding *g = r->next;

    if (!bl_selftest_next(&r->rest))
        return;
    r->rest.same &= f->start == g->start && f->columns == g->columns &&
                    f->decisions == g->decisions &&
                    f->assessable == g->assessable &&
                    f->warnings == g->warnings &&
                    (!f->assessable || has_sums(s, f, g->sums)) &&
                    has_features(f, g->features);
    r->next++;
}

static int push_to_windows(void *context, const int16_t *counts, uint32_t count)
{
    window_run *r = context;

    return bl_push(&r->stream, counts, count, compare_finding, r);
}

int bl_selftest_stream(const bl_golden_stream *g, uint32_t *memory,
                       uint32_t bytes)
{
    window_run r;
    int rc = bl_init(&r.stream, g->task, g->sensor, memory, bytes);

    r.next = g->findings;
    r.rest.left = g->finding_count;
    r.rest.same = 1;
    if (rc == BL_OK)
        rc = bl_selftest_feed(push_to_windows, &r, g->counts, g->count);
    if (rc == BL_OK)
        rc = bl_end(&r.stream, compare_finding, &r);
    return rc == BL_OK ? bl_selftest_result(&r.rest) : rc;
}
