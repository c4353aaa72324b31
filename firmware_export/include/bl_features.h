/*
 * Beat features: the rhythm around a beat, the morphology similarity to the
 * last beats, the RR irregularity of about the last minute, and how the beat
 * compares with the patient's own ones (bl_patient.h). The same whole numbers
 * as beatlens gives in Python. C99, freestanding; part of bl_beats.h.
 *
 * Samples first, then the R peaks found in them:
 *
 *     bl_features_init(&state);                       once
 *     bl_features_begin(&state);                      a segment without gaps
 *     bl_features_add_sample(&state, x);              for every sample
 *     if (bl_features_add_peak(&state, peak, &row))   for every R peak
 *         ... row, of the beat before this one
 *     if (bl_features_end(&state, &row))
 *         ... of the last one
 */
#ifndef BL_FEATURES_H
#define BL_FEATURES_H

#include <stdint.h>

#include "bl_patient.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Places of the features; each is a whole number, 0 to 31. SPEC.md defines
 * them. */
enum bl_feature {
    BL_FEATURE_PREMATURITY = 0,
    BL_FEATURE_COMPENSATORY_PAUSE = 1,
    BL_FEATURE_RR_OVER_MEAN = 2,
    BL_FEATURE_RR_DIFFERENCE = 3,
    BL_FEATURE_RR_BEFORE_OVER_AFTER = 4,
    BL_FEATURE_RR_VARIABILITY = 5,
    BL_FEATURE_MORPHOLOGY_SIMILARITY = 6,
    BL_FEATURE_RR_IRREGULARITY = 7,
    BL_FEATURE_RR_OVER_LONG_MEAN = 8, /* from here on of bl_patient.h */
    BL_FEATURE_CLUSTER_SHARE = 9,
    BL_FEATURE_CLUSTER_RR = 10,
    BL_FEATURE_USUAL_SIMILARITY = 11,
    BL_FEATURE_QRS_WIDTH = 12,
    BL_FEATURE_QRS_STEEPNESS = 13,
    BL_FEATURE_QRS_AREA = 14,
    BL_FEATURE_T_WAVE = 15,
    BL_FEATURE_P_WAVE = 16
};

#define BL_FEATURES 17
#define BL_FEATURE_BINS 32   /* values of each feature */
#define BL_FEATURE_INTERVALS 32 /* RR intervals that are remembered */
#define BL_FEATURE_CHANGES 16   /* RR differences that are remembered */
#define BL_FEATURE_DISTANCES 64 /* distances that are remembered: of an RR
                                   interval to the nearest of the last four */
#define BL_FEATURE_BEATS 16     /* beats that one is compared with */
#define BL_FEATURE_BEAT_SAMPLES 28 /* samples of each of these beats */
#define BL_FEATURE_SAMPLES 1194 /* samples that are kept: an R peak may be found
                                   8.3 s late */

/* A beat's features and where it belongs among the patient's beats. */
typedef struct {
    uint8_t values[BL_FEATURES];
    bl_membership membership;
} bl_feature_row;

/* State; private. Intervals are in samples at 128 Hz, 65,535 at most. */
typedef struct {
    uint32_t last;   /* sample of the last R peak */
    uint16_t before; /* interval before it; 0: none */
    uint16_t intervals[BL_FEATURE_INTERVALS]; /* before that; the newest last */
    uint16_t changes[BL_FEATURE_CHANGES];
    uint16_t distances[BL_FEATURE_DISTANCES];
    uint8_t interval_count;
    uint8_t change_count;
    uint8_t distance_count;
    uint8_t begun;        /* there is a last R peak */
    uint8_t similarity;   /* feature of its beat */
    uint8_t irregularity; /* likewise */
    uint8_t beat_count;   /* beats that are remembered */
    uint8_t next_beat;    /* place of the beat that is remembered next */
    int8_t beats[BL_FEATURE_BEATS][BL_FEATURE_BEAT_SAMPLES];
    bl_patient patient;
    uint8_t beat_samples; /* of the last beat that are known */
    int8_t beat[BL_PATIENT_SEGMENT];
    uint32_t sample_count; /* of this segment */
    int8_t x[BL_FEATURE_SAMPLES]; /* sample i is at i % BL_FEATURE_SAMPLES */
} bl_features;

/* Begins a stream: nothing is known of the patient. */
void bl_features_init(bl_features *state);

/* Begins a segment free of gaps. */
void bl_features_begin(bl_features *state);

/* Takes a sample of the front end. */
void bl_features_add_sample(bl_features *state, int8_t x);

/*
 * Takes an R peak: the number of its sample in the segment. Samples that did
 * not come yet count as 0. Returns whether there is an R peak before it; then
 * its beat's features are known.
 */
int bl_features_add_peak(bl_features *state, uint32_t peak,
                         bl_feature_row *row);

/* Ends the segment. Returns whether it has an R peak; then the last beat's
 * features are known. */
int bl_features_end(bl_features *state, bl_feature_row *row);

#ifdef __cplusplus
}
#endif

#endif
