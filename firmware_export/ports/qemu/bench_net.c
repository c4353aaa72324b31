/* Windows through a network, for counting instructions: WINDOWS of them. */
#include "input.h" /* input, a window */
#include "model.h"

static uint32_t memory[MODEL_STATE_BYTES / 4];

static void take(void *context, const int8_t *evidence)
{
    *(int8_t *)context = evidence[0];
}

int main(void)
{
    int8_t last;
    bl_net net;
    int i, rc = bl_net_init(&net, &model, memory, sizeof memory);

    for (i = 0; rc == BL_OK && i < WINDOWS; i++) {
        rc = bl_net_push(&net, input, model.window, take, &last);
        if (rc == BL_OK)
            rc = bl_net_end(&net, take, &last);
    }
    return rc;
}
