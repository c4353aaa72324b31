/* Features of the rhythm up to a window's end; see
 * ../include/bl_window_rhythm.h. */

#include "beatlens.h"
#include "bl_median.h"

#define BINS BL_WINDOW_FEATURE_BINS
#define INTERVALS BL_WINDOW_INTERVALS
#define UNKNOWN (BINS - 1)
#define STEPS 256u /* of 1 */
#define MIN_INTERVALS 6
#define MIN_DIFFERENCES 4
#define EARLY_PART 7u /* an interval below 7/8 of the median is ectopic */
#define EARLY_WHOLE 8u
#define MAX_INTERVAL 0xFFFFu

/* Median difference of intervals `lag` apart, by their mean, in steps. */
static uint8_t measure_irregularity(const uint16_t *intervals, uint32_t count,
                                    uint32_t lag)
{
    uint16_t differences[INTERVALS];
    uint32_t sum = 0, measured = 0, found, i;

    for (i = 0; i < count; i++)
        sum += intervals[i];
    for (i = lag; i < count; i++) {
        uint16_t a = intervals[i - lag], b = intervals[i];

        differences[measured++] = (uint16_t)(a < b ? b - a : a - b);
    }
    if (measured < MIN_DIFFERENCES)
        return UNKNOWN;
    found = bl_find_median(differences, measured) * STEPS * count / sum;
    return (uint8_t)(found < BINS ? found : BINS - 1);
}

/* Copies the intervals that are neither early nor directly after an early one;
 * returns how many. */
static uint32_t leave_out_ectopic(const bl_window_rhythm *r, uint16_t *kept)
{
    uint32_t least =
        EARLY_PART * bl_find_median(r->intervals, r->interval_count);
    uint32_t count = 0, after_early = 0, i;

    for (i = 0; i < r->interval_count; i++) {
        uint32_t early = EARLY_WHOLE * r->intervals[i] < least;

        if (!early && !after_early)
            kept[count++] = r->intervals[i];
        after_early = early;
    }
    return count;
}

static void add_window_peak(void *rhythm, uint32_t peak)
{
    bl_window_rhythm *r = rhythm;

    if (r->begun) {
        uint32_t interval = peak - r->last;

        if (r->interval_count == INTERVALS) {
            uint32_t i;

            for (i = 1; i < INTERVALS; i++)
                r->intervals[i - 1] = r->intervals[i];
            r->interval_count--;
        }
        r->intervals[r->interval_count++] =
            (uint16_t)(interval < MAX_INTERVAL ? interval : MAX_INTERVAL);
    }
    r->begun = 1;
    r->last = peak;
}

void bl_window_rhythm_begin(bl_window_rhythm *r, int16_t floor)
{
    bl_qrs_init(&r->qrs, floor);
    r->interval_count = r->begun = 0;
}

void bl_window_rhythm_push(bl_window_rhythm *r, int8_t x)
{
    bl_qrs_push(&r->qrs, x, add_window_peak, r);
}

void bl_window_rhythm_measure(const bl_window_rhythm *r,
                              uint8_t features[BL_WINDOW_FEATURES])
{
    uint16_t kept[INTERVALS];

    features[BL_WINDOW_SINUS_IRREGULARITY] = UNKNOWN;
    features[BL_WINDOW_ALTERNATE_IRREGULARITY] = UNKNOWN;
    if (r->interval_count < MIN_INTERVALS)
        return;
    features[BL_WINDOW_SINUS_IRREGULARITY] =
        measure_irregularity(kept, leave_out_ectopic(r, kept), 1);
    features[BL_WINDOW_ALTERNATE_IRREGULARITY] =
        measure_irregularity(r->intervals, r->interval_count, 2);
}

/* Of a stream */

/* Windows whose end has come and whose evidence has not, at most. */
static uint32_t count_ends(const bl_lead_config *lead, uint32_t hop)
{
    return bl_lead_waiting_columns(lead) / hop + 1;
}

static uint32_t count_rhythm_bytes(const bl_lead_config *lead, uint32_t hop)
{
    return (uint32_t)(sizeof(bl_window_rhythm) +
                      count_ends(lead, hop) * sizeof(bl_window_end));
}

static void restart_rhythm(bl_stream *s)
{
    bl_window_rhythm_begin(s->rhythm, s->task->qrs_floor);
    s->end_count = s->first_end = 0;
}

static void begin_rhythm(bl_stream *s, uint32_t *memory)
{
    s->rhythm = (bl_window_rhythm *)memory;
    s->ends = (bl_window_end *)(s->rhythm + 1);
    s->end_room = (uint16_t)count_ends(&s->task->lead, s->task->hop);
    restart_rhythm(s);
}

static void forget_oldest(bl_stream *s)
{
    s->first_end = (uint16_t)((s->first_end + 1) % s->end_room);
    s->end_count--;
}

/* At the end of a window its rhythm is kept; the oldest one gives way. */
static void advance_rhythm(bl_stream *s, int8_t x)
{
    const bl_lead *l = &s->lead;
    uint32_t stride = l->config->stride, hop = s->task->hop, end;
    bl_window_end *to;

    bl_window_rhythm_push(s->rhythm, x);
    if (l->samples % stride != 0)
        return;
    end = l->columns - l->done + l->samples / stride;
    if (end % hop != (uint32_t)l->config->kept % hop)
        return;
    if (s->end_count == s->end_room)
        forget_oldest(s);
    to = &s->ends[(s->first_end + (uint32_t)s->end_count) % s->end_room];
    to->end = end;
    bl_window_rhythm_measure(s->rhythm, to->features);
    s->end_count++;
}

/* The rhythm at the end of the window that is decided on, or 0; those of
 * windows before it are forgotten. */
static const uint8_t *take_rhythm(bl_stream *s)
{
    uint32_t end = s->next + s->task->lead.kept;

    while (s->end_count > 0) {
        const bl_window_end *oldest = &s->ends[s->first_end];

        if (oldest->end >= end)
            return oldest->end == end ? oldest->features : 0;
        forget_oldest(s);
    }
    return 0;
}

/* What the features add to a class's sum. */
static int32_t add_tables(const bl_stream *s, const uint8_t *features,
                      uint32_t class_number)
{
    uint32_t classes = s->task->lead.model->classes, i;
    int32_t sum = 0;

    for (i = 0; i < BL_WINDOW_FEATURES; i++)
        sum += s->task->tables[(i * BINS + features[i]) * classes +
                               class_number];
    return sum;
}

const bl_window_rhythm_functions bl_window_rhythm_from_peaks = {
    count_rhythm_bytes, begin_rhythm, advance_rhythm,
    restart_rhythm,     take_rhythm,  add_tables};
