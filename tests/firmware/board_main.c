/*
 * On a board: runs windows through a network and compares every column of
 * evidence. Says how many values were compared and how many differ.
 */
#include "bl_net.h"
#include "model.h"
#include "semihost.h"
#include "vectors.h" /* WINDOWS, inputs, expected, VALUES */

static uint32_t memory[MODEL_STATE_BYTES / 4];
static int32_t compared, different;

static void compare(void *context, const int8_t *evidence)
{
    uint32_t c;

    (void)context;
    for (c = 0; c < model.classes; c++, compared++)
        if (compared >= VALUES || expected[compared] != evidence[c])
            different++;
}

int main(void)
{
    const int8_t *x = inputs;
    bl_net net;
    int i, rc = bl_net_init(&net, &model, memory, sizeof memory);

    for (i = 0; rc == BL_OK && i < WINDOWS; i++) {
        rc = bl_net_push(&net, x, model.window, compare, 0);
        if (rc == BL_OK)
            rc = bl_net_end(&net, compare, 0);
        x += model.window * model.leads;
    }
    host_number(compared);
    host_number(different);
    return rc != BL_OK || compared != VALUES || different != 0;
}
