/*
 * A whole chain on a computer: a library made of one bundle's task, one sensor
 * and the sources that devices run. beatlens compiles it and calls it from
 * Python. Findings come in batches, so that a call can take many seconds of
 * signal. bl_host_windows.c or bl_host_beats.c decides which chain it is.
 *
 *     void *memory = malloc(bl_host_bytes());
 *     int rc = bl_host_begin(memory, bl_host_bytes());
 *     while (rc == BL_OK && (n = read_counts(counts)) > 0) {
 *         rc = bl_host_push(memory, counts, n, &batch);
 *         ... batch.count findings
 *     }
 */
#ifndef BL_HOST_H
#define BL_HOST_H

#include <stdint.h>

#include "bl_features.h"
#include "bl_lead.h"
#include "bl_window_rhythm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a finding of windows is on. */
enum bl_host_kind {
    BL_HOST_SPAN = 0, /* a window */
    BL_HOST_GAP = 1,  /* all windows inside a long gap */
    BL_HOST_REST = 2  /* what came behind the last window */
};

/* Flags of a column. */
enum bl_host_flag {
    BL_HOST_BAD = 1,   /* it has a flat, saturated or clipped sample */
    BL_HOST_PADDED = 2 /* it sees beyond an end of the signal */
};

/* What findings of all chains have: fields of bl_finding or bl_beat_finding,
 * and of their bl_defects. */
typedef struct {
    uint32_t start;
    uint32_t assessable;
    uint32_t warnings;
    uint32_t columns;
    uint32_t lost;
    uint32_t flat;
    uint32_t saturated;
    uint32_t clipped;
    uint32_t unusable;
    uint32_t noisy;
    uint32_t padded;
    uint32_t starts_padded; /* 1: its first column is padded */
    uint32_t ends_padded;   /* 1: its last column is padded */
} bl_host_span;

/* A finding on windows. */
typedef struct {
    bl_host_span span;
    uint32_t kind; /* a bl_host_kind */
    uint32_t decisions;
    uint32_t features[BL_WINDOW_FEATURES]; /* 0 without tables */
} bl_host_window;

/* A finding on a beat. */
typedef struct {
    bl_host_span span;
    uint32_t peak;
    uint32_t rr;
    uint32_t class_number;
    uint32_t shared; /* int32_t, as two's complement */
    uint32_t features[BL_FEATURES];
} bl_host_beat;

/* Where findings go; the caller's. `columns` are those of a decision. */
typedef struct {
    void *findings;   /* [room], bl_host_window or bl_host_beat */
    int32_t *sums;    /* [room][classes]: sums of windows, scores of beats */
    int8_t *evidence; /* [room][columns][classes], of assessable findings */
    uint8_t *flags;   /* [room][columns], bl_host_flag; of assessable windows */
    uint32_t room;    /* findings */
    uint32_t count;   /* findings of the last call, also those beyond `room` */
} bl_host_batch;

/* Bytes of memory a stream needs. */
uint32_t bl_host_bytes(void);

/* Begins a stream in memory that is aligned as malloc does. Returns BL_OK or
 * an error. */
int bl_host_begin(void *memory, uint32_t bytes);

/* Takes `count` counts. Returns BL_OK, BL_ERROR_BATCH_FULL or another error,
 * as the next two. */
int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_batch *batch);

/* Takes `counts` counts that the sensor lost. */
int bl_host_gap(void *memory, uint32_t counts, bl_host_batch *batch);

/* Ends the stream. */
int bl_host_end(void *memory, bl_host_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
