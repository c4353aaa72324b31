/* Findings in batches, of any chain; see bl_host.h. */

#include "bl_host_chain.h"

static int finish(const bl_host_batch *batch, int rc)
{
    return rc == BL_OK && batch->count > batch->room ? BL_ERROR_BATCH_FULL : rc;
}

uint32_t bl_host_next(bl_host_batch *batch)
{
    uint32_t place = batch->count++;

    return place < batch->room ? place : batch->room;
}

void bl_host_describe(bl_host_span *span, uint32_t start, uint32_t columns,
                      const bl_defects *defects, uint32_t padded_ends)
{
    span->start = start;
    span->columns = columns;
    span->lost = defects->lost;
    span->flat = defects->flat;
    span->saturated = defects->saturated;
    span->clipped = defects->clipped;
    span->unusable = defects->unusable;
    span->noisy = defects->noisy;
    span->padded = defects->padded;
    span->starts_padded = padded_ends & 1;
    span->ends_padded = padded_ends >> 1;
}

uint32_t bl_host_bytes(void)
{
    return bl_host_chain_bytes();
}

int bl_host_begin(void *memory, uint32_t bytes)
{
    if (bytes < bl_host_bytes())
        return BL_ERROR_MEMORY;
    return bl_host_chain_begin(memory, bytes);
}

int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_batch *batch)
{
    batch->count = 0;
    return finish(batch, bl_host_chain_push(memory, counts, count, batch));
}

int bl_host_gap(void *memory, uint32_t counts, bl_host_batch *batch)
{
    batch->count = 0;
    return finish(batch, bl_host_chain_gap(memory, counts, batch));
}

int bl_host_end(void *memory, bl_host_batch *batch)
{
    batch->count = 0;
    return finish(batch, bl_host_chain_end(memory, batch));
}
