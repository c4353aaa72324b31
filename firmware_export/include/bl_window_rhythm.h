/*
 * How irregular the rhythm up to the end of a window is: features of the last
 * RR intervals, for windows whose task has lookup tables. The same whole
 * numbers as beatlens gives in Python. Linked only where a task has tables.
 *
 * C99, freestanding; part of beatlens.h. SPEC.md defines the features.
 */
#ifndef BL_WINDOW_RHYTHM_H
#define BL_WINDOW_RHYTHM_H

#include <stdint.h>

#include "bl_qrs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places of the features; each is a whole number, 0 to 31. */
enum bl_window_feature {
    BL_WINDOW_SINUS_IRREGULARITY = 0,
    BL_WINDOW_ALTERNATE_IRREGULARITY = 1
};

#define BL_WINDOW_FEATURES 2
#define BL_WINDOW_FEATURE_BINS 32 /* values of each feature */
#define BL_WINDOW_INTERVALS 48    /* RR intervals that are remembered */

/* State; private. Intervals are in samples at 128 Hz, 65,535 at most. */
typedef struct {
    bl_qrs qrs;
    uint32_t last;                           /* sample of the last R peak */
    uint16_t intervals[BL_WINDOW_INTERVALS]; /* the newest last */
    uint8_t interval_count;
    uint8_t begun; /* there is a last R peak */
} bl_window_rhythm;

/* Begins a segment free of gaps; `floor` is that of bl_qrs_init. */
void bl_window_rhythm_begin(bl_window_rhythm *state, int16_t floor);

/* Takes a sample of the front end. */
void bl_window_rhythm_push(bl_window_rhythm *state, int8_t x);

/* The features of the R peaks that were found so far. */
void bl_window_rhythm_measure(const bl_window_rhythm *state,
                              uint8_t features[BL_WINDOW_FEATURES]);

#ifdef __cplusplus
}
#endif

#endif
