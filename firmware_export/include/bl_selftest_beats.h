/* Golden vectors of a chain that decides on beats; see bl_selftest.h. */
#ifndef BL_SELFTEST_BEATS_H
#define BL_SELFTEST_BEATS_H

#include "bl_beats.h"
#include "bl_selftest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A beat as it has to be; fields as in bl_beat_finding. */
typedef struct {
    uint32_t peak;
    uint32_t start;
    uint8_t assessable;
    uint8_t class_number;
    uint8_t warnings;
    uint8_t features[BL_FEATURES];
    const int32_t *scores; /* [classes], or 0 of one that is not assessable */
} bl_golden_beat;

/* Counts of a sensor, to a stream's end, and all beats in them. */
typedef struct {
    const bl_beat_task *task;
    const bl_sensor *sensor;
    const int16_t *counts;
    uint32_t count;
    const bl_golden_beat *beats;
    uint32_t beat_count;
} bl_golden_beats;

/*
 * Runs the whole chain in `beats`, counts pushed in pieces. `memory` as for
 * bl_beats_init. Returns BL_OK, BL_ERROR_DIFFERS, or an error of bl_beats.h's
 * functions.
 */
int bl_selftest_beats(const bl_golden_beats *golden, bl_beats *beats,
                      uint32_t *memory, uint32_t bytes);

#ifdef __cplusplus
}
#endif

#endif
