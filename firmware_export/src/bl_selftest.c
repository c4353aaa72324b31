/* Golden vectors; see ../include/bl_selftest.h. */

#include "bl_selftest.h"

#define PIECE 37 /* counts pushed at once: no divisor of any size */

/* Evidence that is to come, and whether all so far was as it has to be. */
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
    if (rc == BL_OK && m->window > 0)
        rc = bl_net_end(net, compare_column, &e);
    if (rc != BL_OK)
        return rc;
    return e.same && e.columns == 0 ? BL_OK : BL_ERROR_DIFFERS;
}

int bl_selftest_net(const bl_golden_net *g, uint32_t *memory, uint32_t bytes)
{
    bl_net net;
    int rc = bl_net_init(&net, g->model, memory, bytes);
    uint32_t i;

    for (i = 0; rc == BL_OK && i < g->cases; i++)
        rc = run_case(&net, g, i);
    return rc;
}

int bl_selftest_next(bl_selftest_rest *rest)
{
    if (rest->left == 0) {
        rest->same = 0;
        return 0;
    }
    rest->left--;
    return 1;
}

int bl_selftest_result(const bl_selftest_rest *rest)
{
    return rest->same && rest->left == 0 ? BL_OK : BL_ERROR_DIFFERS;
}

int bl_selftest_feed(bl_selftest_push *push, void *chain,
                     const int16_t *counts, uint32_t count)
{
    uint32_t done, now;
    int rc = BL_OK;

    for (done = 0; rc == BL_OK && done < count; done += now) {
        now = count - done < PIECE ? count - done : PIECE;
        rc = push(chain, counts + done, now);
    }
    return rc;
}
