/* Between bl_host.c and the chain of a library: bl_host_windows.c or
 * bl_host_beats.c. */
#ifndef BL_HOST_CHAIN_H
#define BL_HOST_CHAIN_H

#include "bl_host.h"

/* What bl_host.c gives. */

/* Counts a finding of a batch. Returns its place, or batch->room where there is
 * none left. */
uint32_t bl_host_next(bl_host_batch *batch);

/* Writes what findings of all chains have. `padded_ends` is that of
 * bl_lead_padded_ends. */
void bl_host_describe(bl_host_span *span, uint32_t start, uint32_t columns,
                      const bl_defects *defects, uint32_t padded_ends);

/* What a chain gives: `memory` is that of bl_host_begin. */

uint32_t bl_host_chain_bytes(void);
int bl_host_chain_begin(void *memory, uint32_t bytes);
int bl_host_chain_push(void *memory, const int16_t *counts, uint32_t count,
                       bl_host_batch *batch);
int bl_host_chain_gap(void *memory, uint32_t counts, bl_host_batch *batch);
int bl_host_chain_end(void *memory, bl_host_batch *batch);

#endif
