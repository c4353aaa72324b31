/*
 * beatlens on a device: counts of a sensor in, findings out, each a decision
 * and the evidence it is the sum of. The same bits as beatlens.Stream gives.
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

#include "bl_frontend.h"
#include "bl_net.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_MOST_CLASSES 32

enum bl_error {
    BL_OK = 0,
    BL_ERROR_ROOM = -1,   /* less memory than bl_memory_bytes says */
    BL_ERROR_TASK = -2,   /* the model's constants do not fit each other */
    BL_ERROR_SENSOR = -3, /* the sensor's constants cannot be right */
    BL_ERROR_ENDED = -4   /* the stream has ended: bl_init again */
};

/* What is decided, with which network. */
typedef struct {
    const bl_model *model;
    const int32_t *sum_thresholds; /* [classes]: found from this sum on */
    uint16_t span;  /* columns that a decision is the sum of */
    uint16_t hop;   /* columns from one decision to the next, at most a span */
    uint16_t left;  /* samples a column sees before its own */
    uint16_t right; /* and behind them */
    uint8_t stride; /* samples of a column; 128 are a second */
    uint32_t most_unusable; /* samples of a span, flat or saturated */
    uint32_t most_clipped;
    uint32_t most_noisy; /* with more, decisions are doubted */
} bl_task;

/* What is wrong with a span. */
typedef struct {
    uint32_t lost; /* samples that did not come */
    uint32_t flat; /* samples, as the next four */
    uint32_t saturated;
    uint32_t clipped;
    uint32_t unusable; /* flat or saturated */
    uint32_t noisy;
    uint32_t padded;   /* columns that saw beyond the signal, its edge held */
} bl_defects;

/* Why a decision is to be doubted. */
enum bl_doubt {
    BL_DOUBT_NOISE = 1,     /* more than most_noisy samples are */
    BL_DOUBT_CLOSE = 2,     /* another class is nearly as likely */
    BL_DOUBT_UNFAMILIAR = 4, /* hardly anything speaks for any class */
    BL_DOUBT_CLIPPED = 8    /* of a beat: clipped for long, so never S */
};

/*
 * A span and what is said of it. Columns are counted since the stream began.
 * Of a span that is not assessable only its defects are known.
 */
typedef struct {
    uint32_t start;      /* its first column */
    uint32_t columns;    /* a long gap, and a stream's end, have their own */
    uint32_t decisions;  /* bit c: class c was found */
    const int32_t *sums; /* [classes], of the columns' evidence */
    bl_defects defects;
    uint8_t assessable;
    uint8_t doubts; /* of an assessable one: BL_DOUBT_NOISE, or 0 */
} bl_finding;

/* Marks of a column; private. */
enum bl_mark { BL_LOST = 1, BL_PADDED = 2 };

/* Samples of one column by what is wrong with them; private. */
typedef struct {
    uint8_t flat;
    uint8_t saturated;
    uint8_t clipped;
    uint8_t unusable;
    uint8_t noisy;
    uint8_t marks;
} bl_quality;

/* Is told of a stream's inside; bl_beats.h is made of it. */
typedef struct {
    void (*sample)(void *state, int8_t x); /* of the front end */
    void (*column)(void *state);           /* one more was added */
    void (*stretch)(void *state);          /* signal without a gap ended */
} bl_listener;

typedef struct bl_stream bl_stream;

/* Gets a finding; it and its evidence are lost when the function returns. */
typedef void (*bl_on_finding)(void *context, const bl_stream *stream,
                              const bl_finding *finding);

/* State; private. */
struct bl_stream {
    const bl_task *task;
    const bl_sensor *sensor;
    bl_on_finding on_finding;
    void *context;
    const bl_listener *listener;
    void *listening;
    bl_frontend frontend;
    bl_net net;
    int16_t *ring;       /* of the front end */
    int32_t *sums;       /* [classes], of the columns in the span */
    int8_t *evidence;    /* [span][classes], a ring as the next one */
    bl_quality *quality; /* [span] */
    bl_quality *waiting; /* [waits], of columns without evidence yet */
    int8_t *x;           /* [chunk], samples for the network */
    bl_quality now;      /* of the column that samples come in for */
    bl_defects defects;  /* of the span */
    uint32_t columns;    /* added so far */
    uint32_t next;       /* where the next span begins */
    uint32_t position;   /* column of the next count */
    uint32_t within;     /* how far into it, in parts of 1 / grid */
    uint32_t grid;       /* parts of a column */
    uint32_t step;       /* counts after which a column begins with a count */
    uint32_t step_columns;
    uint32_t samples;    /* of this stretch of signal */
    uint32_t done;       /* columns of this stretch */
    uint32_t most;       /* columns of this stretch that are wanted */
    uint16_t waits;
    uint16_t first_waiting;
    uint16_t waiting_count;
    uint16_t filled; /* of x */
    int8_t last;     /* sample */
    uint8_t running; /* a stretch has begun */
    uint8_t ended;
};

/* Bytes of memory a stream needs, a multiple of 4. */
uint32_t bl_memory_bytes(const bl_task *task, const bl_sensor *sensor);

/* Begins a stream. Returns BL_OK or an error; then it must not be used. */
int bl_init(bl_stream *stream, const bl_task *task, const bl_sensor *sensor,
            uint32_t *memory, uint32_t bytes);

/* Has `listener` told of what happens inside, with `state`. */
void bl_listen(bl_stream *stream, const bl_listener *listener, void *state);

/*
 * Takes counts of the sensor, any number. Without `on_finding` nobody is told
 * of findings. Returns BL_OK or an error.
 */
int bl_push(bl_stream *stream, const int16_t *counts, uint32_t count,
            bl_on_finding on_finding, void *context);

/*
 * Says that the sensor lost `counts` counts here; time goes on. Spans that
 * touch a gap are not assessable, and the middle of a long one is one finding.
 */
int bl_gap(bl_stream *stream, uint32_t counts, bl_on_finding on_finding,
           void *context);

/*
 * Ends the stream. What came behind the last span has a finding that is not
 * assessable.
 */
int bl_end(bl_stream *stream, bl_on_finding on_finding, void *context);

/* What is wrong with columns of the last span, from the stream's `start` on. */
bl_defects bl_defects_of(const bl_stream *stream, uint32_t start,
                         uint32_t columns);

/* Evidence of a finding's column, from 0 on, for a class. */
int8_t bl_evidence(const bl_stream *stream, const bl_finding *finding,
                   uint32_t column, uint32_t class_number);

#ifdef __cplusplus
}
#endif

#endif
