/*
 * Front end: counts of a sensor in, int8 samples at 128 Hz out, the same bits
 * as beatlens.signals.frontend gives. Resampling, baseline removal, scaling;
 * what they cannot repair is said sample by sample.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc. Time and memory per sample are bounded.
 *
 *     static int16_t ring[SENSOR_TAPS];
 *     bl_frontend f;
 *     bl_sample out[BL_FRONTEND_MOST];
 *     int rc = bl_frontend_init(&f, &sensor, ring, SENSOR_TAPS);
 *     while (rc >= 0) {
 *         rc = bl_frontend_push(&f, next_count(), out);
 *         ... out[0] to out[rc - 1] became ready
 *     }
 *
 * A sample comes out 127 samples of 128 Hz, and half the resampler's taps,
 * after it went in. `sensor` is made by the exporter for one sensor: its rate,
 * gain and rails.
 */
#ifndef BL_FRONTEND_H
#define BL_FRONTEND_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_FRONTEND_MOST 2 /* samples that one call makes ready at most */
#define BL_FRONTEND_AVERAGE 128 /* samples of each moving average */

enum bl_frontend_error {
    BL_FRONTEND_OK = 0,
    BL_FRONTEND_CONFIG = -1, /* the sensor's constants cannot be right */
    BL_FRONTEND_ROOM = -2,   /* the ring is smaller than the taps of a phase */
    BL_FRONTEND_EMPTY = -3,  /* the recording ends before it began */
    BL_FRONTEND_ENDED = -4   /* a sample after the end: init again */
};

/* Why a sample is not to be trusted; BL_NOISY alone says little. */
enum bl_frontend_flag {
    BL_SATURATED = 1, /* the sensor was at one of its rails */
    BL_CLIPPED = 2,   /* the signal left the range of a stage */
    BL_FLAT = 4,      /* no change for 1.5 s: a lead is off */
    BL_NOISY = 8      /* it bends as a QRS complex does, or noise */
};

/* A sample at 128 Hz: 1 LSB is 0.025 mV, flags as above. */
typedef struct {
    int8_t x;
    uint8_t flags;
} bl_sample;

/* value * multiplier / 2^shift, rounded half up; shift is 1 to 62. */
typedef struct {
    int32_t multiplier;
    uint8_t shift;
} bl_rescale;

/* One sensor. */
typedef struct {
    const int16_t *taps; /* up phases of `width` taps each, Q15 */
    uint16_t width;      /* even */
    uint16_t up;         /* `up` samples of 128 Hz for `down` counts */
    uint16_t down;
    int16_t low; /* rails: lowest and highest count */
    int16_t high;
    bl_rescale gain;  /* counts in Q15 to units of 5 microvolt */
    bl_rescale scale; /* those, summed 128 * 128 times, to the int8 sample */
} bl_sensor;

/* State; private. */
typedef struct {
    const bl_sensor *sensor;
    int16_t *ring; /* newest `width` counts, oldest at `at` */
    uint16_t at;
    uint16_t phase;
    uint16_t wait;      /* counts until the next sample is resampled */
    uint16_t since_rail; /* counts since one was at a rail */
    uint16_t to_hold;   /* held counts, and 128 Hz samples, until the end */
    uint16_t skip;      /* first samples, which have no centre yet */
    uint16_t same;      /* samples without a step */
    uint16_t since_flat;
    int16_t count; /* the newest */
    uint8_t stage;
    uint8_t newest;     /* of y */
    int32_t sum;        /* of the newest 128 of y */
    int32_t sum_before; /* of the 128 before them */
    int32_t sums;       /* of the newest 128 sums */
    uint32_t saturated[4]; /* flags of the newest 128 of y, a bit each */
    uint32_t clipped[4];
    int16_t y[2 * BL_FRONTEND_AVERAGE]; /* newest at 128 Hz, in 5 microvolt */
} bl_frontend;

/*
 * Begins a recording. `ring` has room for `room` counts, `sensor->width` or
 * more, and stays the front end's. Returns BL_FRONTEND_OK or an error.
 */
int bl_frontend_init(bl_frontend *f, const bl_sensor *sensor, int16_t *ring,
                     uint32_t room);

/* Takes one count; returns how many samples became ready, or an error. */
int bl_frontend_push(bl_frontend *f, int16_t count,
                     bl_sample out[BL_FRONTEND_MOST]);

/*
 * After the last count: call until it returns 0. Returns how many of the
 * samples still inside became ready (the last count is held), or an error.
 */
int bl_frontend_end(bl_frontend *f, bl_sample out[BL_FRONTEND_MOST]);

#ifdef __cplusplus
}
#endif

#endif
