/*
 * Golden vectors: whether a device computes what beatlens did. For the first
 * start of a board, production tests, and after a change of compiler.
 */
#ifndef BL_SELFTEST_H
#define BL_SELFTEST_H

#include "beatlens.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Not an error of the engine's: what came out is not what was expected. */
#define BL_SELFTEST_DIFFERS (-100)

/* Inputs of the network, and the evidence of each. */
typedef struct {
    const bl_model *model;
    const int8_t *inputs;   /* [cases][columns][leads] */
    const int8_t *evidence; /* [cases][results][classes] */
    uint32_t cases;
    uint32_t columns;
    uint32_t results;
} bl_golden_net;

/* What a finding has to be. */
typedef struct {
    uint32_t start;
    uint32_t columns;
    uint32_t decisions;
    uint32_t assessable;
    uint32_t doubts;
    const int32_t *sums; /* [classes], of an assessable one */
} bl_golden_finding;

/* Counts of the sensor, to a stream's end, and all findings on them. */
typedef struct {
    const bl_task *task;
    const bl_sensor *sensor;
    const int16_t *counts;
    uint32_t count;
    const bl_golden_finding *findings;
    uint32_t finding_count;
} bl_golden_stream;

/*
 * Runs the network. `memory` as for bl_net_init. Returns BL_OK,
 * BL_SELFTEST_DIFFERS, or an error of bl_net.h.
 */
int bl_selftest_net(const bl_golden_net *golden, uint32_t *memory,
                    uint32_t bytes);

/*
 * Runs the whole chain, counts pushed in pieces. `memory` as for bl_init.
 * Returns BL_OK, BL_SELFTEST_DIFFERS, or an error of beatlens.h.
 */
int bl_selftest_stream(const bl_golden_stream *golden, uint32_t *memory,
                       uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
