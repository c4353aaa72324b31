/*
 * R peaks from the front end's samples, the same as beatlens.signals.qrs
 * gives. Curvature is summed over 0.16 s; its maxima are beats where they are
 * above a threshold between the medians of the last beats and of the rest,
 * which is higher in noise, unless they look like the last beats.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc. Time and memory per sample are bounded.
 *
 *     static bl_qrs q;
 *     bl_qrs_init(&q, 75);
 *     ... for every sample: bl_qrs_push(&q, sample.x, on_peak, 0);
 *     bl_qrs_end(&q, on_peak, 0);
 *
 * Peaks come in time order and about a quarter of a second late. Those of the
 * first eight seconds come together, since they set the thresholds. A peak
 * below the threshold comes when the next candidate shows that it is missing.
 */
#ifndef BL_QRS_H
#define BL_QRS_H

#include <stdint.h>

#include "bl_qrs_shapes.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_QRS_NEIGHBOURS 13 /* sums on each side that a maximum is above */
#define BL_QRS_SUMMED 21     /* curvatures of a sum */
#define BL_QRS_KEPT 32 /* curvatures to find a peak in: a power of 2, 30 or
                          more */
#define BL_QRS_SMOOTHED 16 /* smoothed samples: a power of 2, 9 or more */
#define BL_QRS_SUMS 64 /* sums: a power of 2, 40 or more */
#define BL_QRS_KEPT_X 64 /* samples around a maximum: a power of 2, 56 or
                            more */
#define BL_QRS_REMEMBERED 8 /* beats, other candidates, and intervals */
#define BL_QRS_EARLY 75     /* candidates of the first eight seconds, at most */

/* Gets the sample of an R peak, counted from the first that was pushed. */
typedef void (*bl_on_peak)(void *context, uint32_t sample);

/* Private, as the next: sums that are remembered, and their median. */
typedef struct {
    int16_t values[BL_QRS_REMEMBERED];
    int16_t median;
} bl_qrs_sums;

/* State; private. */
typedef struct {
    uint32_t samples;    /* that were pushed */
    uint32_t curved;     /* curvatures so far */
    uint32_t summed;     /* sums so far */
    int32_t sum;         /* of the newest curvatures */
    uint32_t last;       /* sample of the last beat */
    uint32_t quiet;      /* sample since which no beat was found */
    uint32_t waiting_at[BL_QRS_EARLY]; /* samples of candidates that are not
                                          beats, so far */
    int16_t waiting[BL_QRS_EARLY];     /* their sums; below 0: in noise */
    int8_t x[BL_QRS_KEPT_X];           /* a ring */
    bl_qrs_shapes shapes;              /* of the last beats */
    int16_t smoothed[BL_QRS_SMOOTHED]; /* a ring of 3 samples' sums */
    int16_t curvature[BL_QRS_KEPT];    /* a ring */
    int16_t sums[BL_QRS_SUMS];         /* a ring */
    bl_qrs_sums beats;                 /* of the last beats */
    bl_qrs_sums noise;                 /* of other candidates */
    uint32_t intervals[BL_QRS_REMEMBERED]; /* samples between beats */
    uint32_t interval;                 /* their median */
    int16_t floor;       /* that a candidate's sum is above */
    int16_t largest;     /* sum of this second */
    int16_t last_value;  /* sum of the last beat; below 0: there was none */
    uint8_t waiting_count;
    uint8_t seconds;     /* whose largest sums are in `beats`, 8 at most; then
                            decisions begin */
} bl_qrs;

/* Begins a stream. `floor` is the sum that a candidate is above, 3.75 mV in
 * steps of a sample: 150 where a step is 0.025 mV, 75 where it is 0.05 mV. */
void bl_qrs_init(bl_qrs *q, int16_t floor);

/* Takes a sample and hands out the peaks that became certain; without `on_peak`
 * they are dropped. */
void bl_qrs_push(bl_qrs *q, int8_t x, bl_on_peak on_peak, void *context);

/* Ends the stream: hands out the peaks that are left, and begins a new one. */
void bl_qrs_end(bl_qrs *q, bl_on_peak on_peak, void *context);

#ifdef __cplusplus
}
#endif

#endif
