/* Features of the rhythm up to a window's end; see
 * ../include/bl_window_rhythm.h. */

#include "bl_window_rhythm.h"

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
        uint32_t interval = peak - r->last, i;

        if (r->interval_count == INTERVALS) {
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

void bl_window_rhythm_begin(bl_window_rhythm *r)
{
    bl_qrs_init(&r->qrs);
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

const bl_window_rhythm_functions bl_window_rhythm_from_peaks = {
    bl_window_rhythm_begin, bl_window_rhythm_push, bl_window_rhythm_measure};
