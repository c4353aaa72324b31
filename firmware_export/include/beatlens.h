/*
 * Windows on a device: counts of a sensor in, findings out. A finding is a
 * decision on a span of columns and the evidence it is the sum of. The same
 * bits as beatlens gives in Python.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc (a compiler may turn loops into calls of memcpy
 * and memset). All memory is the caller's.
 *
 *     static uint32_t memory[STRIPS_MEMORY_BYTES(CHEST_TAPS) / 4];
 *     bl_stream stream;
 *
 *     int rc = bl_init(&stream, &strips, &chest, memory, sizeof memory);
 *     while (rc == BL_OK)
 *         rc = bl_push(&stream, counts, next_counts(counts), on_finding, 0);
 *
 *     void on_finding(void *context, const bl_stream *s, const bl_finding *f)
 *     {
 *         if (f->assessable && f->decisions >> STRIPS_PVC & 1)
 *             ... bl_evidence(s, f, column, STRIPS_PVC), f->columns of them
 *     }
 *
 * `strips` is a model and `chest` a sensor; beatlens writes both as C.
 */
#ifndef BEATLENS_H
#define BEATLENS_H

#include <stdint.h>

#include "bl_lead.h"
#include "bl_window_rhythm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bl_stream bl_stream;

/* How a stream follows the rhythm. A task with tables names
 * bl_window_rhythm_from_peaks, and so only such a task links its code. */
typedef struct {
    uint32_t (*bytes)(const bl_lead_config *lead, uint32_t hop);
    void (*begin)(bl_stream *stream, uint32_t *memory);
    void (*advance)(bl_stream *stream, int8_t x);
    void (*restart)(bl_stream *stream);
    const uint8_t *(*take)(bl_stream *stream);
    int32_t (*add)(const bl_stream *stream, const uint8_t *features,
                   uint32_t class_number);
} bl_window_rhythm_functions;

extern const bl_window_rhythm_functions bl_window_rhythm_from_peaks;

/* What is decided on windows. A window is as many columns as the lead keeps. */
typedef struct {
    bl_lead_config lead;
    const int32_t *sum_thresholds; /* [classes], steps of evidence: a class is
                                      found where its sum is as large */
    uint16_t hop; /* columns from one window to the next, 1 to a window's */
    bl_limits limits; /* samples of a window */
    const int16_t *tables; /* [features][bins][classes], steps: what each
                              feature of the rhythm up to a window's end adds
                              to its sums; 0: nothing */
    const bl_window_rhythm_functions *rhythm; /* with tables:
                                                 &bl_window_rhythm_from_peaks;
                                                 else 0 */
    int16_t qrs_floor; /* with tables: that of bl_qrs_init */
} bl_task;

/*
 * A window, and what is decided on it. Of one that is not assessable only the
 * defects are known. A long gap's middle, and what a stream has left at its
 * end, have a finding of their own.
 */
typedef struct {
    uint32_t start;      /* its first column, counted since the stream began */
    uint32_t columns;    /* a window's; more in a gap, fewer at the end */
    uint32_t decisions;  /* bit c: class c was found */
    const int32_t *sums; /* [classes], of the columns' evidence */
    const uint8_t *features; /* [BL_WINDOW_FEATURES], of the rhythm up to its
                                end; 0: the task has no tables */
    bl_defects defects;
    uint8_t assessable; /* 1: decided; 0: too many bad samples, or no window */
    uint8_t warnings;   /* BL_WARNING_NOISY or 0 */
} bl_finding;

/* Gets a finding; it and its evidence are lost when the function returns. */
typedef void (*bl_on_finding)(void *context, const bl_stream *stream,
                              const bl_finding *finding);

/* The rhythm at the end of a window; its evidence is not known yet. Private. */
typedef struct {
    uint32_t end; /* column behind the window */
    uint8_t features[BL_WINDOW_FEATURES];
} bl_window_end;

/* State; private. */
struct bl_stream {
    bl_lead lead;
    const bl_task *task;
    bl_on_finding on_finding;
    void *context;
    int32_t *sums;      /* [classes], of the newest columns, a window's */
    bl_defects defects; /* of these columns */
    uint32_t next;      /* column where the next window begins */
    bl_window_rhythm *rhythm; /* 0: the task has no tables */
    bl_window_end *ends;      /* a ring, the oldest first */
    uint16_t end_room;
    uint16_t end_count;
    uint16_t first_end;
};

/* Bytes of memory a stream needs, a multiple of 4. */
uint32_t bl_memory_bytes(const bl_task *task, const bl_sensor *sensor);

/* Begins a stream. Returns BL_OK or an error; then it must not be used. */
int bl_init(bl_stream *stream, const bl_task *task, const bl_sensor *sensor,
            uint32_t *memory, uint32_t bytes);

/*
 * Takes `count` counts of the sensor, any number. `on_finding` is called for
 * every finding that became known; with 0, here and below, nothing is. Returns
 * BL_OK or an error.
 */
int bl_push(bl_stream *stream, const int16_t *counts, uint32_t count,
            bl_on_finding on_finding, void *context);

/*
 * Takes `counts` counts that the sensor lost; time goes on. Windows that touch
 * a gap are not assessable; those inside a long one share one finding.
 */
int bl_gap(bl_stream *stream, uint32_t counts, bl_on_finding on_finding,
           void *context);

/*
 * Ends the stream. What came behind the last window has a finding that is not
 * assessable.
 */
int bl_end(bl_stream *stream, bl_on_finding on_finding, void *context);

/* Evidence of a finding's column, 0 to its columns less 1, for a class. */
int8_t bl_evidence(const bl_stream *stream, const bl_finding *finding,
                   uint32_t column, uint32_t class_number);

#ifdef __cplusplus
}
#endif

#endif
