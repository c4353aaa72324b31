/* Golden vectors; see ../include/bl_selftest.h. */

#include "bl_selftest.h"

#define PIECE 37 /* counts pushed at once: no divisor of anything */

/* Evidence to come, and whether all so far was as it should be. */
typedef struct {
    const int8_t *next;
    uint32_t columns;
    uint32_t classes;
    int same;
} expected_evidence;

static void compare_column(void *context, const int8_t *evidence)
{
    expected_evidence *e = context;
    uint32_t c;

    if (e->columns == 0) {
        e->same = 0;
        return;
    }
    for (c = 0; c < e->classes; c++)
        e->same &= evidence[c] == *e->next++;
    e->columns--;
}

static int run_case(bl_net *net, const bl_golden_net *g, uint32_t number)
{
    const bl_model *m = g->model;
    const int8_t *x = g->inputs + number * g->columns * m->leads;
    expected_evidence e;
    int rc;

    e.next = g->evidence + number * g->results * m->classes;
    e.columns = g->results;
    e.classes = m->classes;
    e.same = 1;
    bl_net_reset(net);
    rc = bl_net_push(net, x, g->columns, compare_column, &e);
    if (rc == BL_NET_OK && m->window > 0)
        rc = bl_net_end(net, compare_column, &e);
    if (rc != BL_NET_OK)
        return rc;
    return e.same && e.columns == 0 ? BL_OK : BL_SELFTEST_DIFFERS;
}

int bl_selftest_net(const bl_golden_net *g, uint32_t *memory, uint32_t bytes)
{
    bl_net net;
    int rc = bl_net_init(&net, g->model, memory, bytes);
    uint32_t i;

    for (i = 0; rc == BL_NET_OK && i < g->cases; i++)
        rc = run_case(&net, g, i);
    return rc;
}

/* Findings to come, and whether all so far were as they should be. */
typedef struct {
    const bl_golden_finding *next;
    uint32_t left;
    int same;
} expected_findings;

static int same_sums(const bl_stream *s, const bl_finding *f,
                     const int32_t *sums)
{
    uint32_t classes = s->task->model->classes, c, column;

    for (c = 0; c < classes; c++) {
        int32_t sum = 0;

        for (column = 0; column < f->columns; column++)
            sum += bl_evidence(s, f, column, c);
        if (f->sums[c] != sums[c] || sum != sums[c])
            return 0;
    }
    return 1;
}

static void compare_finding(void *context, const bl_stream *s,
                            const bl_finding *f)
{
    expected_findings *e = context;
    const bl_golden_finding *g = e->next;

    if (e->left == 0) {
        e->same = 0;
        return;
    }
    e->same &= f->start == g->start && f->columns == g->columns &&
               f->decisions == g->decisions && f->assessable == g->assessable &&
               f->doubts == g->doubts &&
               (!f->assessable || same_sums(s, f, g->sums));
    e->next++;
    e->left--;
}

int bl_selftest_stream(const bl_golden_stream *g, uint32_t *memory,
                       uint32_t bytes)
{
    expected_findings e;
    bl_stream s;
    uint32_t done, now;
    int rc = bl_init(&s, g->task, g->sensor, memory, bytes);

    e.next = g->findings;
    e.left = g->finding_count;
    e.same = 1;
    for (done = 0; rc == BL_OK && done < g->count; done += now) {
        now = g->count - done < PIECE ? g->count - done : PIECE;
        rc = bl_push(&s, g->counts + done, now, compare_finding, &e);
    }
    if (rc == BL_OK)
        rc = bl_end(&s, compare_finding, &e);
    if (rc != BL_OK)
        return rc;
    return e.same && e.left == 0 ? BL_OK : BL_SELFTEST_DIFFERS;
}
