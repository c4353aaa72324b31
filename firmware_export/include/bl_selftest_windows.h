/* Golden vectors of a chain that decides on windows; see bl_selftest.h. */
#ifndef BL_SELFTEST_WINDOWS_H
#define BL_SELFTEST_WINDOWS_H

#include "beatlens.h"
#include "bl_selftest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A finding as it has to be; fields as in bl_finding. */
typedef struct {
    uint32_t start;
    uint32_t columns;
    uint32_t decisions;
    uint32_t assessable;
    uint32_t warnings;
    const int32_t *sums; /* [classes], or 0 of one that is not assessable */
    const uint8_t *features; /* [BL_WINDOW_FEATURES], or 0 where none count */
} bl_golden_finding;

/* Counts of a sensor, to a stream's end, and all findings on them. */
typedef struct {
    const bl_task *task;
    const bl_sensor *sensor;
    const int16_t *counts;
    uint32_t count;
    const bl_golden_finding *findings;
    uint32_t finding_count;
} bl_golden_stream;

/*
 * Runs the whole chain, counts pushed in pieces. `memory` as for bl_init.
 * Returns BL_OK, BL_ERROR_DIFFERS, or an error of beatlens.h's functions.
 */
int bl_selftest_stream(const bl_golden_stream *golden, uint32_t *memory,
                       uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
