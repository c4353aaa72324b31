/*
 * The whole chain on a computer: a library made of one bundle's task, one
 * sensor and the sources that devices run. beatlens.runtime.host compiles it
 * and calls it from Python; findings come in batches, so that a call takes in
 * many seconds of signal.
 *
 *     void *memory = malloc(bl_host_bytes());
 *     int rc = bl_host_begin(memory, bl_host_bytes());
 *     while (rc == BL_OK && (n = read_counts(counts)) > 0) {
 *         rc = bl_host_push(memory, counts, n, &batch);
 *         ... batch.findings[0] to batch.findings[batch.count - 1]
 *     }
 */
#ifndef BL_HOST_H
#define BL_HOST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* More findings than a batch has room for; those beyond it are lost. */
#define BL_HOST_FULL (-100)

/* What a finding is on. */
enum bl_host_kind {
    BL_HOST_SPAN = 0, /* a span of signal */
    BL_HOST_GAP = 1,  /* all spans inside a long gap */
    BL_HOST_REST = 2  /* what came behind the last span */
};

/* Flags of a column. */
enum bl_host_flag {
    BL_HOST_BAD = 1,   /* it has a flat, saturated or clipped sample */
    BL_HOST_PADDED = 2 /* it saw beyond the signal, its edge held */
};

/* A finding: bl_finding without its pointers, all uint32_t. */
typedef struct {
    uint32_t kind;
    uint32_t start;
    uint32_t assessable;
    uint32_t decisions;
    uint32_t doubts;
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
} bl_host_finding;

/* Where findings go; the caller's. Evidence and flags of assessable ones. */
typedef struct {
    bl_host_finding *findings; /* [room] */
    int32_t *sums;             /* [room][classes] */
    int8_t *evidence;          /* [room][span][classes] */
    uint8_t *flags;            /* [room][span] */
    uint32_t room;
    uint32_t count; /* of the last call */
} bl_host_batch;

/* Bytes of memory a stream needs. */
uint32_t bl_host_bytes(void);

/* Begins a stream in memory aligned as malloc does. As bl_init. */
int bl_host_begin(void *memory, uint32_t bytes);

/* As bl_push, bl_gap and bl_end, or BL_HOST_FULL. */
int bl_host_push(void *memory, const int16_t *counts, uint32_t count,
                 bl_host_batch *batch);
int bl_host_gap(void *memory, uint32_t counts, bl_host_batch *batch);
int bl_host_end(void *memory, bl_host_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
