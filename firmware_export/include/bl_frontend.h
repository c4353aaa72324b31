/*
 * Front end: counts of a sensor in, int8 samples at 128 Hz out, the same bits
 * as beatlens.signals.frontend gives. It resamples, removes the baseline and
 * scales; flags say of each sample what is wrong with it.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc. Time and memory per sample are bounded.
 *
 *     static int16_t ring[SENSOR_TAPS];
 *     bl_frontend f;
 *     bl_sample out[BL_FRONTEND_MAX];
 *     int rc = bl_frontend_init(&f, &sensor, ring, SENSOR_TAPS);
 *     while (rc >= 0) {
 *         rc = bl_frontend_push(&f, next_count(), out);
 *         ... out[0] to out[rc - 1] became ready
 *     }
 *
 * A sample comes out late: by 127 samples at 128 Hz and half the resampler's
 * taps, in counts. beatlens writes `sensor` for the rate, gain and rails of one
 * sensor.
 */
#ifndef BL_FRONTEND_H
#define BL_FRONTEND_H

#include <stdint.h>

#include "bl_error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_FRONTEND_MAX 2 /* samples that one call makes ready, at most */
#define BL_FRONTEND_AVERAGE 128 /* samples of each moving average */

/* What is wrong with a sample: bits. QRS complexes alone are BL_NOISY too. */
enum bl_frontend_flag {
    BL_SATURATED = 1, /* the sensor was at a rail near it */
    BL_CLIPPED = 2,   /* the signal is out of the range of int8, or int16 */
    BL_FLAT = 4,      /* no change for 1.5 s: a lead is off */
    BL_NOISY = 8      /* the signal bends sharply within 23 ms of it */
};

/* A sample at 128 Hz. */
typedef struct {
    int8_t x;      /* steps of the sensor's model, 0.05 or 0.025 mV: -127 to
                      127 */
    uint8_t flags; /* a sum of bl_frontend_flag */
} bl_sample;

/* A real factor, multiplier / 2^shift; products are rounded half up. */
typedef struct {
    int32_t multiplier; /* above 0 */
    uint8_t shift;      /* 1 to 62 */
} bl_rescale;

/* One sensor. */
typedef struct {
    const int16_t *taps; /* [up][width], Q15 */
    uint16_t width;      /* taps of a phase: even, 2 to 1024 */
    uint16_t up;   /* samples at 128 Hz that `down` counts are, 1 to 1024 */
    uint16_t down; /* counts, up / 2 to 1024 */
    int16_t low;   /* the sensor's lower rail: its smallest count */
    int16_t high;  /* the upper one: its largest count */
    bl_rescale gain;  /* from counts in Q15 to units of 5 microvolt */
    bl_rescale scale; /* from sums of 128 * 128 of those to a sample's steps */
} bl_sensor;

/* State; private. */
typedef struct {
    const bl_sensor *sensor;
    int16_t *ring; /* newest `width` counts, the oldest at `at` */
    uint16_t at;
    uint16_t phase;      /* of the next sample */
    uint16_t wait;       /* counts until the next sample */
    uint16_t since_rail; /* counts since one was at a rail, `width` at most */
    uint16_t to_hold;    /* counts, then samples, still to hold at the end */
    uint16_t skip;       /* samples until the first is ready */
    uint16_t same;       /* samples without a change, 192 at most */
    uint16_t since_flat; /* samples since a flat one, 128 at most */
    int16_t count;       /* the newest */
    uint8_t stage;       /* empty, running, holding, ended */
    uint8_t newest;      /* place in y */
    int32_t sum;        /* of the newest 128 of y */
    int32_t sum_before; /* of the 128 before them */
    int32_t sums;       /* of the newest 128 sums */
    uint32_t saturated[4]; /* flags of the newest 128 of y, a bit each */
    uint32_t clipped[4];   /* likewise */
    int16_t y[2 * BL_FRONTEND_AVERAGE]; /* newest samples at 128 Hz, units of
                                           5 microvolt */
} bl_frontend;

/*
 * Begins a recording. `ring` has room for `room` counts, `sensor->width` or
 * more, and stays the front end's. Returns BL_OK, BL_ERROR_SENSOR or
 * BL_ERROR_MEMORY.
 */
int bl_frontend_init(bl_frontend *f, const bl_sensor *sensor, int16_t *ring,
                     uint32_t room);

/* Takes one count. Returns how many samples became ready, or
 * BL_ERROR_ENDED. */
int bl_frontend_push(bl_frontend *f, int16_t count,
                     bl_sample out[BL_FRONTEND_MAX]);

/*
 * After the last count, which is held: call until it returns 0. Returns how
 * many of the samples still inside became ready, or BL_ERROR_EMPTY.
 */
int bl_frontend_end(bl_frontend *f, bl_sample out[BL_FRONTEND_MAX]);

#ifdef __cplusplus
}
#endif

#endif
