/*
 * Beats on a device: counts of a sensor in, a finding for every beat out, with
 * the evidence and the features it is decided by. The same bits as beatlens
 * gives in Python.
 *
 * R peaks are found in the front end's samples (bl_qrs.h). A beat's score for
 * a class is the sum of the evidence around its R peak, the contributions of
 * its features (bl_features.h) from lookup tables, and an offset; the largest
 * score wins. A beat with many clipped samples is never given the classes in
 * `never_if_clipped`; one with more is not decided on.
 *
 * C99, freestanding, as bl_lead.h says. All memory is the caller's.
 *
 *     static uint32_t memory[WRIST_MEMORY_BYTES(CHEST_TAPS) / 4];
 *     static bl_beats stream; (`wrist` is a model and `chest` a sensor)
 *
 *     int rc = bl_beats_init(&stream, &wrist, &chest, memory, sizeof memory);
 *     while (rc == BL_OK)
 *         rc = bl_beats_push(&stream, counts, next_counts(counts), on_beat, 0);
 *
 *     void on_beat(void *context, const bl_beat_finding *f)
 *     {
 *         if (f->assessable && f->class_number == WRIST_V)
 *             ... f->evidence[column * classes + class], f->columns of them
 *     }
 *
 * A beat is decided when the next one is found; those of the first eight
 * seconds, whose amplitudes set the detector's thresholds, come together.
 */
#ifndef BL_BEATS_H
#define BL_BEATS_H

#include <stdint.h>

#include "bl_features.h"
#include "bl_lead.h"
#include "bl_qrs.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_BEATS_WAITING 24 /* R peaks whose evidence is not known yet: most */
#define BL_BEATS_HIDING 32  /* flat or saturated samples between two R peaks
                               that may hide a beat: more */

/* The class whose evidence the beats of a cluster share (bl_patient.h). A
 * beat's margin is its score of that class less the largest of the others',
 * each with its odds. */
typedef struct {
    int32_t limit;   /* steps that a margin counts as at most; 0: none is
                        shared */
    uint32_t others; /* bit c: the margin is to class c */
    uint8_t class_number;
} bl_sharing;

/* What is decided on beats. A step is one of int8 evidence, summed. */
typedef struct {
    bl_lead_config lead;    /* keeps the columns of a beat found late */
    const int16_t *tables;  /* [features][bins][classes], steps: what each
                               feature contributes */
    const int16_t *offsets; /* [classes], steps: with them rare classes are
                               found */
    const int16_t *odds;    /* [classes], steps: log odds of each class where
                               evidence and features are 0 */
    uint8_t before;         /* columns of a beat before its R peak's */
    uint8_t after;          /* columns of a beat from its R peak's on, 1 or
                               more */
    bl_limits limits;       /* samples of a beat */
    int32_t low_margin;     /* steps of log odds from the class to the likeliest
                               other one; with fewer, BL_WARNING_LOW_MARGIN */
    int32_t out_of_distribution; /* steps: largest score without offsets; below
                                    it, BL_WARNING_OUT_OF_DISTRIBUTION */
    uint32_t clipped_warning;  /* clipped samples of a beat; with more,
                                  BL_WARNING_CLIPPED and never_if_clipped */
    uint32_t never_if_clipped; /* bit c: class c is then not decided on */
    bl_sharing sharing;
    int16_t qrs_floor; /* see bl_qrs_init */
} bl_beat_task;

/*
 * A beat, and what is decided on it. Of one that is not assessable only the
 * defects are known.
 */
typedef struct {
    uint32_t peak;    /* R peak: sample at 128 Hz since the stream began */
    uint32_t rr;      /* samples since the R peak before it; 0: not known, as
                         after a gap, or where a beat may be hidden between */
    uint32_t start;   /* its first column, counted since the stream began */
    bl_defects defects;
    const int32_t *scores;  /* [classes], steps, offsets included */
    int32_t shared; /* steps that the last beats of the same shape add to the
                       score of the shared class */
    const int8_t *evidence; /* [columns][classes] */
    uint8_t columns; /* before + after; 0: the signal was too short for it */
    uint8_t padded_ends; /* bit 0: the first column is padded; 1: the last */
    uint8_t assessable;  /* 1: decided; 0: too many bad samples or too short */
    uint8_t class_number;
    uint8_t warnings; /* a sum of bl_warning */
    uint8_t features[BL_FEATURES]; /* 0 to 31 each; see bl_features.h */
} bl_beat_finding;

/* Gets a finding; what it points to is lost when the function returns. */
typedef void (*bl_on_beat)(void *context, const bl_beat_finding *finding);

/* What the last beats of a cluster said of the shared class; private. */
typedef struct {
    int32_t mean;  /* margin, steps times 16 */
    uint8_t beats; /* that it is of, 16 at most */
} bl_cluster_margin;

/* State; private. */
typedef struct {
    bl_lead lead;
    const bl_beat_task *task;
    bl_on_beat on_beat;
    void *context;
    bl_qrs qrs;
    bl_features rhythm;
    bl_cluster_margin margins[BL_PATIENT_CLUSTERS];
    bl_beat_finding taken; /* its evidence is known, its features may not be */
    int32_t *scores;
    int8_t *evidence; /* of `taken` */
    uint32_t peaks[BL_BEATS_WAITING]; /* samples of this segment */
    bl_feature_row features[BL_BEATS_WAITING];
    uint32_t last_peak;   /* taken of this segment */
    uint32_t next_column; /* of the stream, whose bad samples come after it */
    uint32_t hidden;      /* bad samples since, of columns no longer kept */
    uint8_t peak_count;
    uint8_t feature_count; /* beats whose features are known: `taken` first */
    uint8_t has_taken;
    uint8_t has_last; /* there is a last peak */
} bl_beats;

/* Bytes of memory a stream needs, a multiple of 4. */
uint32_t bl_beats_memory_bytes(const bl_beat_task *task,
                               const bl_sensor *sensor);

/* Begins a stream. Returns BL_OK or an error; then it must not be used. */
int bl_beats_init(bl_beats *beats, const bl_beat_task *task,
                  const bl_sensor *sensor, uint32_t *memory, uint32_t bytes);

/*
 * Takes `count` counts of the sensor, any number. `on_beat` is called for
 * every beat that was decided; with 0, here and below, nothing is. Returns
 * BL_OK or an error.
 */
int bl_beats_push(bl_beats *beats, const int16_t *counts, uint32_t count,
                  bl_on_beat on_beat, void *context);

/*
 * Takes `counts` counts that the sensor lost; time goes on. Beats before and
 * after the gap are decided on the signal of their own side.
 */
int bl_beats_gap(bl_beats *beats, uint32_t counts, bl_on_beat on_beat,
                 void *context);

/* Ends the stream: decides on the beats that are left. */
int bl_beats_end(bl_beats *beats, bl_on_beat on_beat, void *context);

#ifdef __cplusplus
}
#endif

#endif
