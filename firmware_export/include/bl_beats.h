/*
 * Beats on a device: counts of a sensor in, a finding for every beat out, with
 * what speaks for it. The same bits as beatlens.BeatStream gives.
 *
 * R peaks are found in the front end's samples (bl_qrs.h). A beat's score for
 * a class is the sum of the evidence around its R peak, what its rhythm and its
 * likeness to the last beats (bl_contexts.h) are worth by tables, and an
 * offset; the largest wins. A partly clipped beat is never given the classes in
 * `never_clipped`; a badly clipped one is refused.
 *
 * C99, freestanding, as beatlens.h. All memory is the caller's.
 *
 *     static uint32_t memory[BEATS_MEMORY_BYTES(CHEST_TAPS) / 4];
 *     static bl_beats stream; (`wrist`: the model's name, `chest`: the sensor's)
 *
 *     int rc = bl_beats_init(&stream, &wrist, &chest, memory, sizeof memory);
 *     while (rc == BL_OK)
 *         rc = bl_beats_push(&stream, counts, next_counts(counts), on_beat, 0);
 *
 *     void on_beat(void *context, const bl_beat_finding *f)
 *     {
 *         if (f->assessable && f->class_number == BEATS_V)
 *             ... f->evidence[column * classes + class], f->columns of them
 *     }
 *
 * A beat is decided when the next one is found; those of the first eight
 * seconds, which the detector learns from, come together.
 */
#ifndef BL_BEATS_H
#define BL_BEATS_H

#include <stdint.h>

#include "beatlens.h"
#include "bl_contexts.h"
#include "bl_qrs.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_BEATS_WAITING 32 /* R peaks whose evidence is not there yet */

/* What is decided on beats. */
typedef struct {
    const bl_task *task;    /* its span: the columns that are kept */
    const int16_t *tables;  /* [contexts][bins][classes], steps of evidence */
    const int16_t *offsets; /* [classes] */
    const int16_t *odds;    /* [classes], how likely each is beforehand */
    uint8_t before;         /* columns of a beat before its R peak's */
    uint8_t after;          /* and from that on */
    uint32_t most_unusable; /* samples of a beat, flat or saturated */
    uint32_t most_clipped;
    uint32_t most_noisy;
    int32_t close;    /* a lead over the likeliest other class below: close */
    int32_t familiar; /* all scores, without offsets, below: unfamiliar */
    uint32_t clipped_warning; /* clipped samples; of a beat with more, ... */
    uint32_t never_clipped;   /* ... bit c: class c is not decided on */
} bl_beat_task;

/*
 * A beat and what is said of it. Of one that is not assessable only its
 * defects are known; `columns` is 0 where the signal was too short for it.
 */
typedef struct {
    uint32_t peak;          /* sample at 128 Hz since the stream began */
    uint32_t start;         /* first column, counted since then as well */
    bl_defects defects;     /* of its columns */
    const int32_t *scores;  /* [classes], offsets included */
    const int8_t *evidence; /* [columns][classes] */
    uint8_t columns;
    uint8_t padded_ends;    /* bit 0: the first column is padded; 1: the last */
    uint8_t assessable;
    uint8_t class_number;
    uint8_t doubts; /* bits of bl_doubt */
    uint8_t contexts[BL_CONTEXTS]; /* see bl_contexts.h */
} bl_beat_finding;

/* Gets a finding; what it points to is lost when the function returns. */
typedef void (*bl_on_beat)(void *context, const bl_beat_finding *finding);

/* State; private. */
typedef struct {
    bl_stream stream;
    const bl_beat_task *task;
    bl_on_beat on_beat;
    void *context;
    bl_qrs qrs;
    bl_contexts known;
    bl_beat_finding taken; /* its evidence is there, its contexts are not */
    int32_t *scores;
    int8_t *evidence; /* of `taken` */
    uint32_t peaks[BL_BEATS_WAITING];
    uint8_t contexts[BL_BEATS_WAITING][BL_CONTEXTS];
    uint8_t peak_count;
    uint8_t context_count; /* of `taken` and of the peaks behind it */
    uint8_t has_taken;
} bl_beats;

/* Bytes of memory a stream needs, a multiple of 4. */
uint32_t bl_beats_memory_bytes(const bl_beat_task *task,
                               const bl_sensor *sensor);

/* Begins a stream. Returns BL_OK or an error; then it must not be used. */
int bl_beats_init(bl_beats *beats, const bl_beat_task *task,
                  const bl_sensor *sensor, uint32_t *memory, uint32_t bytes);

/*
 * Takes counts of the sensor, any number. Without `on_beat` nobody is told of
 * beats, here and below. Returns BL_OK or an error.
 */
int bl_beats_push(bl_beats *beats, const int16_t *counts, uint32_t count,
                  bl_on_beat on_beat, void *context);

/*
 * Says that the sensor lost `counts` counts here; time goes on. Beats on both
 * sides are decided on what there is on theirs.
 */
int bl_beats_gap(bl_beats *beats, uint32_t counts, bl_on_beat on_beat,
                 void *context);

/* Ends the stream. */
int bl_beats_end(bl_beats *beats, bl_on_beat on_beat, void *context);

#ifdef __cplusplus
}
#endif

#endif
