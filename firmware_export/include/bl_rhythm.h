/*
 * Rhythms from decided beats: rate, tachycardia and bradycardia, pauses,
 * couplets, runs, bigeminy and trigeminy, each with the beats that it is made
 * of. The same whole numbers as beatlens gives in Python; SPEC.md has the
 * rules. Optional: linked only where it is used.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc. Time and memory per beat are bounded.
 *
 *     static bl_rhythm rhythm; (`wrist` is a model of beats)
 *     bl_rhythm_init(&rhythm, &wrist_rhythms);
 *
 *     void on_beat(void *context, const bl_beat_finding *f)
 *     {
 *         uint8_t role = f->assessable ? wrist_roles[f->class_number]
 *                                      : BL_ROLE_NONE;
 *
 *         bl_rhythm_push(&rhythm, f->peak, f->rr, role, on_rhythm, 0);
 *         if (bl_rhythm_going(&rhythm) &
 *             1ul << BL_RHYTHM_VENTRICULAR_TACHYCARDIA)
 *             ... it goes on right now
 *     }
 *
 * A rhythm is handed out when the beat comes that ends it.
 */
#ifndef BL_RHYTHM_H
#define BL_RHYTHM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_RHYTHM_WINDOW 8 /* RR intervals of which a rate is the mean */

/* What a beat is for a rhythm. */
enum bl_beat_role {
    BL_ROLE_N = 0,     /* normal */
    BL_ROLE_S = 1,     /* supraventricular */
    BL_ROLE_V = 2,     /* ventricular */
    BL_ROLE_OTHER = 3, /* fusion, paced, or of a class that is none of these */
    BL_ROLE_NONE = 4   /* without a decision */
};

enum bl_rhythm_kind {
    BL_RHYTHM_MINUTE = 0, /* a minute that has a beat */
    BL_RHYTHM_TACHYCARDIA = 1,
    BL_RHYTHM_BRADYCARDIA = 2,
    BL_RHYTHM_PAUSE = 3,
    BL_RHYTHM_VENTRICULAR_COUPLET = 4,
    BL_RHYTHM_VENTRICULAR_TACHYCARDIA = 5,
    BL_RHYTHM_IDIOVENTRICULAR = 6,
    BL_RHYTHM_VENTRICULAR_BIGEMINY = 7,
    BL_RHYTHM_VENTRICULAR_TRIGEMINY = 8,
    BL_RHYTHM_SUPRAVENTRICULAR_COUPLET = 9,
    BL_RHYTHM_SUPRAVENTRICULAR_TACHYCARDIA = 10,
    BL_RHYTHM_SUPRAVENTRICULAR_RUN = 11,
    BL_RHYTHM_SUPRAVENTRICULAR_BIGEMINY = 12,
    BL_RHYTHM_SUPRAVENTRICULAR_TRIGEMINY = 13
};

/* Limits; rates in whole beats a minute. */
typedef struct {
    uint16_t bradycardia_below; /* rate of a window at which it begins */
    uint16_t bradycardia_until; /* rate of a window up to which it lasts */
    uint16_t tachycardia_above; /* rate of a window at which it begins */
    uint16_t tachycardia_until; /* rate of a window down to which it lasts */
    uint16_t run_above; /* rate of a run above which it is a tachycardia */
    uint16_t pause;     /* samples at 128 Hz; a longer RR interval is a pause */
    uint8_t cycles;     /* ectopic beats of bigeminy and trigeminy, at least */
} bl_rhythm_settings;

/* The defaults of beatlens. */
#define BL_RHYTHM_DEFAULTS {50, 55, 100, 95, 100, 256, 3}

/* A rhythm and its beats. */
typedef struct {
    uint32_t start; /* R peak of its first beat, sample at 128 Hz since the
                       stream began; of a minute where it begins */
    uint32_t end;   /* R peak of its last beat; of a minute where it ends */
    uint32_t first; /* number of its first beat of all that were pushed; the
                       first one is 0 */
    uint32_t last;  /* number of its last beat */
    uint16_t rate;  /* beats a minute; of a minute 0: no interval ends in it */
    uint16_t least; /* of a minute: least rate of a window; 0: there is none */
    uint16_t most;  /* of a minute: most rate of a window; 0: there is none */
    uint16_t beats[4]; /* of a minute: its beats by role; else 0 */
    uint8_t kind;      /* a bl_rhythm_kind */
} bl_rhythm_event;

/* Gets a rhythm; what `event` points to is lost when the function returns. */
typedef void (*bl_on_rhythm)(void *context, const bl_rhythm_event *event);

/* A beat; private. */
typedef struct {
    uint32_t peak;
    uint32_t number;
} bl_rhythm_place;

/* Beats of one ectopic role in turn with normal ones; private. */
typedef struct {
    bl_rhythm_place start;
    bl_rhythm_place last;
    uint8_t known;  /* there is a last beat of the role, and only normal ones
                       after it */
    uint8_t since;  /* these normal ones, 3 at most */
    uint8_t normal; /* normal beats between two ectopic ones; 0: no pattern */
    uint8_t cycles; /* ectopic beats, 255 at most; 0: no pattern */
} bl_rhythm_pattern;

/* State; private. */
typedef struct {
    const bl_rhythm_settings *settings;
    bl_rhythm_place last; /* beat */
    bl_rhythm_place group_start; /* ectopic beats of one role in a row */
    bl_rhythm_place group_end;
    bl_rhythm_place episode_start; /* bradycardia or tachycardia */
    bl_rhythm_place episode_end;
    bl_rhythm_pattern patterns[2]; /* of V and of S */
    uint32_t count;        /* beats so far */
    uint32_t free;         /* beat that the next episode may begin with */
    uint32_t minute;       /* its number */
    uint32_t minute_first; /* number of its first beat */
    uint32_t minute_span;  /* samples of its intervals */
    uint16_t minute_intervals;
    uint16_t minute_least;
    uint16_t minute_most;
    uint16_t minute_beats[5];             /* by role */
    uint16_t intervals[BL_RHYTHM_WINDOW]; /* of the window; the newest last */
    uint8_t interval_count;
    uint8_t group_role; /* BL_ROLE_NONE: there is no group */
    uint8_t episode;    /* its kind; 0: there is none */
    uint8_t decided;    /* the last beat has a decision */
} bl_rhythm;

/* Begins a stream; the settings stay the caller's. */
void bl_rhythm_init(bl_rhythm *rhythm, const bl_rhythm_settings *settings);

/*
 * Takes the next beat: its R peak, the samples since the one before it (0
 * where it is not known what beats were between, as `rr` of a
 * bl_beat_finding), and its bl_beat_role. A beat that is not after the one
 * before it is left out. `on_rhythm` is called for every rhythm that became
 * certain; with 0, here and below, nothing is.
 */
void bl_rhythm_push(bl_rhythm *rhythm, uint32_t peak, uint32_t rr, uint8_t role,
                    bl_on_rhythm on_rhythm, void *context);

/* Lasting rhythms that go on at the last beat and will be handed out: bit k for
 * the bl_rhythm_kind k. */
uint32_t bl_rhythm_going(const bl_rhythm *rhythm);

/* Ends the stream: hands out the rhythms that are left, and begins a new
 * one. */
void bl_rhythm_end(bl_rhythm *rhythm, bl_on_rhythm on_rhythm, void *context);

#ifdef __cplusplus
}
#endif

#endif
