/*
 * Beats on a computer, as bl_host.h is for spans: a library made of one
 * bundle's beat task, one sensor and the sources that devices run.
 */
#ifndef BL_HOST_BEATS_H
#define BL_HOST_BEATS_H

#include <stdint.h>

#include "bl_contexts.h"

#ifdef __cplusplus
extern "C" {
#endif

/* More beats than a batch has room for; those beyond it are lost. */
#define BL_HOST_FULL (-100)

/* A beat: bl_beat_finding without its pointers, all uint32_t. */
typedef struct {
    uint32_t peak;
    uint32_t start;
    uint32_t assessable;
    uint32_t class_number;
    uint32_t doubts;
    uint32_t contexts[BL_CONTEXTS];
    uint32_t columns;
    uint32_t lost;
    uint32_t flat;
    uint32_t saturated;
    uint32_t clipped;
    uint32_t unusable;
    uint32_t noisy;
    uint32_t padded;
    uint32_t starts_padded; /* its first column is a padded one */
    uint32_t ends_padded;   /* its last one is */
} bl_host_beat;

/* Where beats go; the caller's. */
typedef struct {
    bl_host_beat *beats; /* [room] */
    int8_t *evidence;    /* [room][before + after][classes] */
    uint32_t room;
    uint32_t count; /* of the last call */
} bl_host_beats;

/* Bytes of memory a stream needs. */
uint32_t bl_host_bytes(void);

/* Begins a stream in memory aligned as malloc does. As bl_beats_init. */
int bl_host_begin(void *memory, uint32_t bytes);

/* As bl_beats_push, bl_beats_gap and bl_beats_end, or BL_HOST_FULL. */
int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_beats *batch);
int bl_host_gap(void *memory, uint32_t counts, bl_host_beats *batch);
int bl_host_end(void *memory, bl_host_beats *batch);

#ifdef __cplusplus
}
#endif

#endif
