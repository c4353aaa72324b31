/*
 * R peaks from the front end's samples, the same as beatlens.signals.qrs
 * gives. Curvature is summed over 0.16 s; its maxima are beats where they are
 * above a threshold between the medians of the last beats and of the rest.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc. Time and memory per sample are bounded.
 *
 *     static bl_qrs q;
 *     bl_qrs_init(&q);
 *     ... for every sample: bl_qrs_push(&q, sample.x, on_peak, 0);
 *     bl_qrs_end(&q, on_peak, 0);
 *
 * Peaks come in time order, about a quarter of a second late, those of the
 * first eight seconds together; one that was overlooked at first when the
 * next candidate shows that it is missing.
 */
#ifndef BL_QRS_H
#define BL_QRS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_QRS_NEIGHBOURS 13  /* samples that a maximum is above, each side */
#define BL_QRS_SUMMED 21      /* curvatures */
#define BL_QRS_KEPT 32        /* to find a peak in: a power of 2, 30 or more */
#define BL_QRS_REMEMBERED 8   /* beats, other candidates, intervals */
#define BL_QRS_EARLY 75       /* candidates of the first eight seconds */

/* Gets the sample of an R peak, counted from the first that was pushed. */
typedef void (*bl_on_peak)(void *context, uint32_t sample);

/* State; private. */
typedef struct {
    uint32_t samples;   /* that were pushed */
    uint32_t curved;    /* curvatures that were seen */
    uint32_t summed;    /* sums that were seen */
    int32_t sum;        /* of the newest curvatures */
    uint32_t last;      /* beat */
    uint32_t heard;     /* that, or since when silence counts anew */
    uint32_t waiting_at[BL_QRS_EARLY]; /* candidates that are no beats yet */
    int16_t waiting[BL_QRS_EARLY];
    int8_t x[2];         /* samples before the newest */
    int16_t smoothed[9];
    int16_t curvature[BL_QRS_KEPT];
    int16_t sums[2 * BL_QRS_NEIGHBOURS + 1];
    int16_t beats[BL_QRS_REMEMBERED];
    int16_t noise[BL_QRS_REMEMBERED];
    uint32_t intervals[BL_QRS_REMEMBERED];
    int16_t largest;    /* sum of this second */
    int16_t last_value; /* of the last beat; below 0: there was none */
    uint8_t waiting_count;
    uint8_t seconds; /* learnt from; then decisions begin */
} bl_qrs;

/* Begins a stream. */
void bl_qrs_init(bl_qrs *q);

/*
 * Takes a sample and hands out the peaks that became certain, to nobody
 * without `on_peak`.
 */
void bl_qrs_push(bl_qrs *q, int8_t x, bl_on_peak on_peak, void *context);

/* Ends the stream: hands out the peaks that are left, and begins anew. */
void bl_qrs_end(bl_qrs *q, bl_on_peak on_peak, void *context);

#ifdef __cplusplus
}
#endif

#endif
