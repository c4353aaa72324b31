/*
 * What is known of a beat beside the evidence around it: its rhythm, how many
 * of the last beats look like it, and how erratic the rhythm of the last minute
 * was. The same whole numbers as beatlens.signals.beat_contexts gives. C99,
 * freestanding; part of bl_beats.h.
 *
 * Samples first, then the R peaks found in them:
 *
 *     bl_contexts_begin(&contexts);
 *     bl_contexts_hear(&contexts, x);              for every sample
 *     if (bl_contexts_push(&contexts, peak, of))   for every R peak
 *         ... of[BL_CONTEXTS], of the beat before this one
 *     if (bl_contexts_end(&contexts, of))
 *         ... of the last one
 */
#ifndef BL_CONTEXTS_H
#define BL_CONTEXTS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* early, pause, slow, change, balance, irregular, alike, erratic: each in 32
 * steps. */
#define BL_CONTEXTS 8
#define BL_CONTEXT_BINS 32
#define BL_INTERVALS 32
#define BL_CHANGES 16
#define BL_DISTANCES 64    /* from the nearest interval before */
#define BL_ALIKE_BEATS 16  /* that a beat is held against */
#define BL_ALIKE_SEEN 28   /* samples of each */
#define BL_ALIKE_KEPT 1080 /* samples: a peak may be found 8.2 s late */

/* State; private. */
typedef struct {
    uint32_t last;                    /* R peak */
    uint16_t before;                  /* interval; 0: none */
    uint16_t intervals[BL_INTERVALS]; /* the newest last */
    uint16_t changes[BL_CHANGES];
    uint16_t distances[BL_DISTANCES];
    uint8_t interval_count;
    uint8_t change_count;
    uint8_t distance_count;
    uint8_t begun;
    uint8_t alike;                    /* of the last beat */
    uint8_t erratic;                  /* the rhythm up to it */
    uint8_t beat_count;               /* remembered */
    uint8_t next_beat;                /* whose place is the next one's */
    int8_t beats[BL_ALIKE_BEATS][BL_ALIKE_SEEN];
    uint32_t heard;                   /* samples */
    int8_t x[BL_ALIKE_KEPT];          /* sample i is at i % BL_ALIKE_KEPT */
} bl_contexts;

/* Begins a stretch of signal. */
void bl_contexts_begin(bl_contexts *contexts);

/* Takes a sample of the front end. */
void bl_contexts_hear(bl_contexts *contexts, int8_t x);

/*
 * Takes an R peak, a sample of those heard; what is behind the last one heard
 * counts as 0. Returns whether the one before it has its contexts now.
 */
int bl_contexts_push(bl_contexts *contexts, uint32_t peak,
                     uint8_t of[BL_CONTEXTS]);

/* Ends the stretch. Returns whether there is a last beat; these are its. */
int bl_contexts_end(bl_contexts *contexts, uint8_t of[BL_CONTEXTS]);

#ifdef __cplusplus
}
#endif

#endif
