/*
 * A beat held against the patient's own beats: clusters of one shape each, and
 * nine features. The same whole numbers as beatlens gives in Python; part of
 * bl_features.h. C99, freestanding.
 *
 * What is known of a patient outlives gaps in the signal: it begins once, with
 * the stream.
 */
#ifndef BL_PATIENT_H
#define BL_PATIENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_PATIENT_FEATURES 9
#define BL_PATIENT_CLUSTERS 4
#define BL_PATIENT_BEFORE 37  /* samples of a beat before its R peak */
#define BL_PATIENT_SEGMENT 85 /* samples of a beat */
#define BL_PATIENT_QRS 24     /* samples of a template */
#define BL_PATIENT_P 26       /* samples of a P wave */

/* One cluster; private. Its usual beat is the mean of its beats. */
typedef struct {
    uint32_t count;    /* beats that joined, 256 each, less what decayed; 0:
                          there is no such cluster */
    int32_t area;      /* of the usual beat, times 16 */
    int32_t t_wave;    /* likewise */
    int32_t interval;  /* before its last beats, samples times 16; 0: none */
    int16_t qrs[BL_PATIENT_QRS]; /* template, samples times 8 */
    int16_t p_wave[BL_PATIENT_P]; /* of the usual beat, samples times 16 */
    uint8_t beats;     /* that joined, 4 at most */
} bl_cluster;

/* State; private. */
typedef struct {
    bl_cluster clusters[BL_PATIENT_CLUSTERS];
    int32_t interval; /* long mean, samples times 16 */
    uint8_t intervals; /* that it is of, 64 at most */
} bl_patient;

/* Where a beat belongs. */
typedef struct {
    uint8_t cluster;
    uint8_t begins; /* 1: the cluster begins with this beat */
} bl_membership;

/* Begins with a patient of whom no beat is known. */
void bl_patient_init(bl_patient *patient);

/*
 * Takes a beat: its samples from BL_PATIENT_BEFORE before its R peak on, 0
 * where there are none, and the interval before it in samples, 0 if there is
 * none. Gives its features, 0 to 31 each, and returns where it belongs.
 */
bl_membership bl_patient_add_beat(bl_patient *patient, const int8_t *segment,
                                  uint16_t interval,
                                  uint8_t features[BL_PATIENT_FEATURES]);

#ifdef __cplusplus
}
#endif

#endif
