/*
 * A lead: counts of a sensor in, columns of evidence out, each with the number
 * of its samples that are bad. The front end, the network, gaps and the grid
 * of columns are here; decisions are not. A chain is a lead and what decides:
 * beatlens.h decides on windows, bl_beats.h on beats.
 *
 * Users include one of those two. What they see of a lead: its configuration
 * and limits, which are constants of a task, defects, and warnings.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc (a compiler may turn loops into calls of memcpy
 * and memset). All memory is the caller's.
 */
#ifndef BL_LEAD_H
#define BL_LEAD_H

#include <stdint.h>

#include "bl_error.h"
#include "bl_frontend.h"
#include "bl_net.h"
#include "bl_version.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_MAX_CLASSES 32

/* How a network reads a lead. Samples are those of the front end, 128 a
 * second. */
typedef struct {
    const bl_model *model; /* one lead, not padded, 1 to 32 classes */
    uint16_t kept;  /* newest columns whose evidence is kept, 1 or more */
    uint16_t left;  /* samples that a column sees before its own */
    uint16_t right; /* samples that a column sees after its own */
    uint8_t stride; /* samples of a column, 1 or more */
} bl_lead_config;

/* How many samples of a span may be bad, from 0 on. */
typedef struct {
    uint32_t max_unusable; /* with more flat or saturated ones: no decision */
    uint32_t max_clipped;  /* with more clipped ones: no decision */
    uint32_t max_noisy;    /* with more noisy ones: BL_WARNING_NOISY */
} bl_limits;

/* Samples of a span by what is wrong with them; columns where it says so. */
typedef struct {
    uint32_t lost;      /* samples that the sensor lost */
    uint32_t flat;      /* samples without a change for 1.5 s */
    uint32_t saturated; /* samples at a rail of the sensor */
    uint32_t clipped;   /* samples out of the front end's range */
    uint32_t unusable;  /* samples that are flat, saturated, or both */
    uint32_t noisy;     /* samples where the signal bends as QRS complexes do */
    uint32_t padded;    /* columns that see beyond an end of the signal, whose
                           first or last sample is held there */
} bl_defects;

/* Warnings of a decision that is given: a sum of these bits. */
enum bl_warning {
    BL_WARNING_NOISY = 1,      /* too many noisy samples */
    BL_WARNING_LOW_MARGIN = 2, /* of a beat: another class is nearly as likely,
                                  or likelier */
    BL_WARNING_OUT_OF_DISTRIBUTION = 4, /* of a beat: evidence and features
                                           speak for no class */
    BL_WARNING_CLIPPED = 8 /* of a beat: many clipped samples, so that some
                              classes are left out */
};

/* Marks of a column; private. */
enum bl_mark { BL_LOST = 1, BL_PADDED = 2 };

/* Samples of one column by what is wrong with them; private. */
typedef struct {
    uint8_t flat;
    uint8_t saturated;
    uint8_t clipped;
    uint8_t unusable;
    uint8_t noisy;
    uint8_t marks; /* a sum of bl_mark */
} bl_quality;

/* What a chain does while its lead goes on; 0 does nothing. Private. */
typedef struct {
    void (*sample)(void *chain, int8_t x); /* a sample left the front end */
    void (*forget)(void *chain, uint32_t place); /* the oldest column kept,
                                                    there, is replaced next */
    void (*column)(void *chain, uint32_t place); /* one was added there */
    uint32_t (*gap)(void *chain, uint32_t end); /* all columns kept are lost
        ones: of those up to `end`, how many need not be added one by one;
        without it none need */
    void (*segment)(void *chain); /* a segment free of gaps ended */
} bl_chain;

/* State; private. */
typedef struct {
    const bl_lead_config *config;
    const bl_sensor *sensor;
    const bl_chain *chain;
    void *state; /* of the chain */
    bl_frontend frontend;
    bl_net net;
    int16_t *ring;       /* [taps of a phase], of the front end */
    int8_t *evidence;    /* [kept][classes], a ring as the next one */
    bl_quality *quality; /* [kept] */
    bl_quality *waiting; /* [waits], of columns that have no evidence yet */
    int8_t *x;           /* [chunk], samples for the network */
    bl_quality now;      /* of the column whose samples come in */
    uint32_t columns;    /* added since the stream began */
    uint32_t position;   /* column of the next count */
    uint32_t within;     /* where in it the next count is, in 1 / grid */
    uint32_t grid;       /* parts of a column */
    uint32_t step;       /* counts after which a column begins with a count */
    uint32_t step_columns; /* columns of so many counts */
    uint32_t samples;    /* of this segment */
    uint32_t done;       /* columns of this segment that were added */
    uint32_t wanted;     /* columns of this segment that are to be added */
    uint16_t waits;
    uint16_t first_waiting;
    uint16_t waiting_count;
    uint16_t filled; /* samples in x */
    int8_t last;     /* sample */
    uint8_t running; /* a segment has begun */
    uint8_t ended;   /* bl_lead_end was called */
} bl_lead;

/* What follows is for chains. */

/* Bytes of memory a lead needs, a multiple of 4. */
uint32_t bl_lead_memory_bytes(const bl_lead_config *config,
                              const bl_sensor *sensor);

/* Columns whose samples have come and whose evidence has not, at most. */
uint32_t bl_lead_waiting_columns(const bl_lead_config *config);

/*
 * Begins a lead of no chain. Of `bytes` bytes of `memory` the first `own`, a
 * multiple of 4, stay the chain's. Returns BL_OK or an error; then it must not
 * be used.
 */
int bl_lead_init(bl_lead *lead, const bl_lead_config *config,
                 const bl_sensor *sensor, uint32_t *memory, uint32_t bytes,
                 uint32_t own);

/* Takes `count` counts. Returns BL_OK or BL_ERROR_ENDED, as the next two. */
int bl_lead_push(bl_lead *lead, const int16_t *counts, uint32_t count);

/* Takes `counts` counts that the sensor lost. */
int bl_lead_gap(bl_lead *lead, uint32_t counts);

/* Ends the lead: adds the columns that are left. */
int bl_lead_end(bl_lead *lead);

/* Adds the defects of the column kept at `place` to some, `times` times; -1,
 * which wraps, takes them off. */
void bl_lead_count(const bl_lead *lead, uint32_t place, uint32_t times,
                   bl_defects *defects);

/* Sets the defects of columns that are kept, from the stream's column `start`
 * on. */
void bl_lead_sum_defects(const bl_lead *lead, uint32_t start, uint32_t columns,
                         bl_defects *defects);

/* Bit 0: the first of columns that are kept is padded; bit 1: the last. */
uint32_t bl_lead_padded_ends(const bl_lead *lead, uint32_t start,
                             uint32_t columns);

/* Whether defects of a span allow a decision: 0 or 1. */
uint8_t bl_lead_is_assessable(const bl_defects *defects,
                              const bl_limits *limits);

/* Evidence of the stream's column `column`, which is kept, for a class. */
int8_t bl_lead_evidence(const bl_lead *lead, uint32_t column,
                        uint32_t class_number);

#ifdef __cplusplus
}
#endif

#endif
