/*
 * Runs a network over samples from stdin, for the tests.
 *
 * Argument: a number that pieces of random sizes are drawn from.
 * In:  int8 columns [leads] to the end of the file; of a padded network, one
 *      window after the other.
 * Out: columns of evidence, int8 [classes].
 *
 * The state is a block of exactly its size, so that a sanitizer sees every
 * access beside it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bl_net.h"
#include "model.h"

#define MAX_BYTES (UINT32_C(1) << 22)

static uint32_t seed;

static uint32_t random_piece(void)
{
    seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
    return seed >> 24 < 200 ? seed >> 29 : seed >> 23; /* 0 to 7, or to 511 */
}

static void write_column(void *context, const int8_t *evidence)
{
    (void)context;
    fwrite(evidence, 1, model.classes, stdout);
}

static int push_all(bl_net *net, const int8_t *x, uint32_t columns)
{
    while (columns > 0) {
        uint32_t now = random_piece();
        int rc;

        now = now < columns ? now : columns;
        rc = bl_net_push(net, x, now, write_column, NULL);
        if (rc != BL_OK)
            return rc;
        x += now * model.leads;
        columns -= now;
    }
    return BL_OK;
}

static int windows(bl_net *net, const int8_t *x, uint32_t columns)
{
    for (; columns >= model.window; columns -= model.window) {
        if (push_all(net, x, model.window) != BL_OK)
            return 4;
        if (bl_net_push(net, x, 1, write_column, NULL) != BL_ERROR_WINDOW)
            return 5; /* one too many */
        if (bl_net_end(net, write_column, NULL) != BL_OK)
            return 6;
        x += model.window * model.leads;
    }
    return 0;
}

int main(int count, char **arguments)
{
    int8_t *x = malloc(MAX_BYTES);
    uint32_t *memory = malloc(model.state_bytes), columns;
    bl_net net;
    int rc;

    if (x == NULL || memory == NULL || count != 2)
        return 2;
    seed = (uint32_t)strtoul(arguments[1], NULL, 10);
    columns = (uint32_t)fread(x, 1, MAX_BYTES, stdin) / model.leads;
    if (MODEL_STATE_BYTES != model.state_bytes ||
        bl_net_init(&net, &model, memory, model.state_bytes - 1) !=
            BL_ERROR_MEMORY ||
        bl_net_init(&net, &model, memory, model.state_bytes) != BL_OK ||
        bl_net_end(&net, write_column, NULL) != BL_ERROR_WINDOW)
        return 3;
    rc = model.window > 0  ? windows(&net, x, columns)
         : push_all(&net, x, columns) == BL_OK ? 0
                                                   : 7;
    free(memory);
    free(x);
    return rc;
}
