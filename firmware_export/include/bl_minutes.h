/*
 * Episodes out of decisions on windows: one decision a minute on one class,
 * with hysteresis. An episode begins with a minute in which at least 3/4 of
 * the windows found the class, and lasts until one in which less than 1/2 did.
 * The same as beatlens.tasks.windows.minutes gives in Python. Optional: linked
 * only where it is used.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc.
 *
 *     static bl_minutes minutes; (`strips` is a model of windows)
 *     bl_minutes_init(&minutes, &strips, STRIPS_AFIB);
 *
 *     void on_finding(void *context, const bl_stream *s, const bl_finding *f)
 *     {
 *         bl_minutes_push(&minutes, f, on_minute, 0);
 *     }
 *
 * A minute is handed out when a window of a later one comes.
 */
#ifndef BL_MINUTES_H
#define BL_MINUTES_H

#include <stdint.h>

#include "beatlens.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_MINUTE_MIN_WINDOWS 3 /* with fewer, a minute is not decided */

/* A minute of a stream. A window is in the minute that its middle is in. */
typedef struct {
    uint32_t minute;  /* counted since the stream began */
    uint16_t windows; /* assessable ones */
    uint16_t found;   /* those of them that found the class */
    uint8_t known;    /* 1: there were enough to decide by; 0: an episode ends
                         with this minute */
    uint8_t inside;   /* 1: part of an episode */
} bl_minute;

/* Gets a minute; it is lost when the function returns. */
typedef void (*bl_on_minute)(void *context, const bl_minute *minute);

/* State; private. */
typedef struct {
    bl_minute now;
    uint32_t stride; /* samples of a column */
    uint32_t class_number;
} bl_minutes;

/* Begins a stream. */
void bl_minutes_init(bl_minutes *minutes, const bl_task *task,
                     uint32_t class_number);

/* Takes a finding of the stream, in order; without `on_minute` minutes are
 * dropped. */
void bl_minutes_push(bl_minutes *minutes, const bl_finding *finding,
                     bl_on_minute on_minute, void *context);

/* Ends the stream: hands out the last minute, if a window was in it. */
void bl_minutes_end(bl_minutes *minutes, bl_on_minute on_minute,
                    void *context);

#ifdef __cplusplus
}
#endif

#endif
