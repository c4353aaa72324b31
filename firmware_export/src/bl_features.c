/* Beat features; see ../include/bl_features.h. */

#include "bl_features.h"

#include "bl_median.h"

#define BINS BL_FEATURE_BINS
#define INTERVALS BL_FEATURE_INTERVALS
#define CHANGES BL_FEATURE_CHANGES
#define DISTANCES BL_FEATURE_DISTANCES
#define RATIO_STEPS 16     /* of 1 */
#define CHANGE_STEPS 64    /* of 1 */
#define DISTANCE_STEPS 256 /* of 1 */
#define NEAREST_OF 4       /* intervals that a distance is the smallest to */
#define MIN_DISTANCES 16   /* with fewer, RR irregularity is 0 */
#define RECENT 8           /* intervals of the recent mean */
#define MAX_INTERVAL 0xFFFFu

#define BEATS BL_FEATURE_BEATS
#define KEPT BL_FEATURE_SAMPLES
#define BEAT_SAMPLES BL_FEATURE_BEAT_SAMPLES
#define BEFORE 8 /* samples of a QRS complex before its R peak */
#define SHIFT 2  /* samples by which beats are shifted against each other */
#define LENGTH (BEAT_SAMPLES - 2 * SHIFT)
#define SHARES (BINS - 1)

/* Rhythm */

static uint16_t measure_difference(uint16_t a, uint16_t b)
{
    return (uint16_t)(a < b ? b - a : a - b);
}

/* `part` over the mean of `count` intervals, 1 or more, in steps of which
 * `one` are 1; 31 at most. */
static uint8_t divide(uint32_t part, const uint16_t *whole, uint32_t count,
                      uint32_t one)
{
    uint32_t sum = whole[0], i, found;

    for (i = 1; i < count; i++)
        sum += whole[i];
    found = part * one * count / sum;
    return (uint8_t)(found < BINS ? found : BINS - 1);
}

/* The first six features of the last R peak's beat; `after`: the interval
 * after it, or 0. A ratio to an interval that is missing counts as 1. */
static void measure_rhythm(const bl_features *r, uint16_t after,
                           uint8_t *features)
{
    uint32_t count = r->interval_count, i;
    uint32_t recent = count < RECENT ? count : RECENT;
    const uint16_t *all = r->intervals, *last = all + count - recent;
    uint16_t first = r->before != 0 ? r->before : after != 0 ? after : 1;

    if (count == 0) {
        all = last = &first;
        count = recent = 1;
    }
    for (i = 0; i < BL_FEATURE_RR_VARIABILITY; i++)
        features[i] = RATIO_STEPS;
    if (after != 0)
        features[BL_FEATURE_COMPENSATORY_PAUSE] =
            divide(after, last, recent, RATIO_STEPS);
    if (r->before != 0) {
        features[BL_FEATURE_PREMATURITY] =
            divide(r->before, last, recent, RATIO_STEPS);
        features[BL_FEATURE_RR_OVER_MEAN] =
            divide(r->before, all, count, RATIO_STEPS);
        features[BL_FEATURE_RR_DIFFERENCE] =
            divide(r->before, last + recent - 1, 1, RATIO_STEPS);
        if (after != 0)
            features[BL_FEATURE_RR_BEFORE_OVER_AFTER] =
                divide(r->before, &after, 1, RATIO_STEPS);
    }
    features[BL_FEATURE_RR_VARIABILITY] = 0;
    if (r->change_count > 0)
        features[BL_FEATURE_RR_VARIABILITY] =
            divide(bl_find_median(r->changes, r->change_count), last, recent,
                   CHANGE_STEPS);
}

/* Appends a value to `count`; the oldest of `room` is dropped. Returns how many
 * there are now. */
static uint8_t append(uint16_t *values, uint8_t count, uint32_t room,
                      uint16_t value)
{
    if (count == room) {
        uint32_t i;

        for (i = 1; i < room; i++)
            values[i - 1] = values[i];
        count--;
    }
    values[count] = value;
    return (uint8_t)(count + 1);
}

/* Adds the interval before the last R peak to those remembered. */
static void remember_interval(bl_features *r)
{
    if (r->before == 0)
        return;
    if (r->interval_count > 0)
        r->change_count = append(
            r->changes, r->change_count, CHANGES,
            measure_difference(r->intervals[r->interval_count - 1], r->before));
    r->interval_count =
        append(r->intervals, r->interval_count, INTERVALS, r->before);
}

/* RR irregularity: how far intervals are from the nearest of those before them.
 * `interval` comes after those remembered. */
static uint8_t measure_irregularity(bl_features *r, uint16_t interval)
{
    uint32_t count = r->interval_count, i;
    uint16_t nearest = MAX_INTERVAL;

    for (i = count < NEAREST_OF ? 0 : count - NEAREST_OF; i < count; i++) {
        uint16_t distance = measure_difference(r->intervals[i], interval);

        if (distance < nearest)
            nearest = distance;
    }
    if (count > 0)
        r->distance_count =
            append(r->distances, r->distance_count, DISTANCES, nearest);
    if (r->distance_count < MIN_DISTANCES)
        return 0;
    return divide(bl_find_median(r->distances, r->distance_count), r->intervals,
                  count, DISTANCE_STEPS);
}

/* Morphology similarity */

/* Whether two beats' correlation is above 0.9 for any shift of the second one.
 * Covariances are times LENGTH squared, below 2^24; the second beat's sums are
 * moved on with the shift. */
static int are_similar(const int8_t *beat, const int8_t *other)
{
    int32_t sum = 0, squares = 0, other_sum = 0, other_squares = 0, i, shift;
    int64_t variance;

    for (i = 0; i < LENGTH; i++) {
        sum += beat[i];
        squares += beat[i] * beat[i];
        other_sum += other[i];
        other_squares += other[i] * other[i];
    }
    variance = LENGTH * squares - sum * sum;
    for (shift = 0;; shift++) {
        int32_t products = 0, gone = other[shift], next;
        int64_t common, other_variance;

        for (i = 0; i < LENGTH; i++)
            products += beat[i] * other[shift + i];
        common = LENGTH * products - sum * other_sum;
        other_variance = LENGTH * other_squares - other_sum * other_sum;
        if (common > 0 &&
            100 * common * common > 81 * variance * other_variance)
            return 1;
        if (shift == 2 * SHIFT)
            return 0;
        next = other[shift + LENGTH];
        other_sum += next - gone;
        other_squares += next * next - gone * gone;
    }
}

/* A sample of the segment, or 0 where there is none. */
static int8_t read_sample(const bl_features *k, uint32_t sample)
{
    return sample < k->sample_count ? k->x[sample % KEPT] : 0;
}

/* Morphology similarity of the beat at `peak` to the last ones; remembers the
 * beat. */
static uint8_t measure_similarity(bl_features *k, uint32_t peak)
{
    int8_t beat[BEAT_SAMPLES];
    uint32_t similar = 0, among = k->beat_count, i;

    for (i = 0; i < BEAT_SAMPLES; i++)
        beat[i] = read_sample(k, peak + i - BEFORE - SHIFT); /* may wrap */
    for (i = 0; i < among; i++)
        similar += (uint32_t)are_similar(beat + SHIFT, k->beats[i]);
    for (i = 0; i < BEAT_SAMPLES; i++)
        k->beats[k->next_beat][i] = beat[i];
    k->next_beat = (uint8_t)((k->next_beat + 1) % BEATS);
    if (among < BEATS)
        k->beat_count++;
    return (uint8_t)(among > 0 ? SHARES * similar / among : SHARES);
}

/* The patient's beats */

/* Begins the samples of the beat at `peak` with those that are there. */
static void begin_beat(bl_features *k, uint32_t peak)
{
    uint32_t i;

    for (i = 0; i < BL_PATIENT_SEGMENT; i++) {
        uint32_t sample = peak + i - BL_PATIENT_BEFORE; /* may wrap */

        if (sample >= k->sample_count && sample <= peak + BL_PATIENT_SEGMENT)
            break;
        k->beat[i] = read_sample(k, sample);
    }
    k->beat_samples = (uint8_t)i;
}

/* All features of the last R peak's beat; `after`: the interval after it, or
 * 0. */
static void find_row(bl_features *k, uint16_t after, bl_feature_row *row)
{
    while (k->beat_samples < BL_PATIENT_SEGMENT)
        k->beat[k->beat_samples++] = 0;
    measure_rhythm(k, after, row->values);
    row->values[BL_FEATURE_MORPHOLOGY_SIMILARITY] = k->similarity;
    row->values[BL_FEATURE_RR_IRREGULARITY] = k->irregularity;
    row->membership =
        bl_patient_add_beat(&k->patient, k->beat, k->before,
                            &row->values[BL_FEATURE_RR_OVER_LONG_MEAN]);
}

/* Interface */

void bl_features_init(bl_features *k)
{
    bl_patient_init(&k->patient);
    bl_features_begin(k);
}

void bl_features_begin(bl_features *k)
{
    k->before = 0;
    k->beat_samples = BL_PATIENT_SEGMENT;
    k->interval_count = k->change_count = k->distance_count = k->begun = 0;
    k->beat_count = k->next_beat = 0;
    k->sample_count = 0;
}

void bl_features_add_sample(bl_features *k, int8_t x)
{
    k->x[k->sample_count++ % KEPT] = x;
    if (k->beat_samples < BL_PATIENT_SEGMENT)
        k->beat[k->beat_samples++] = x;
}

int bl_features_add_peak(bl_features *k, uint32_t peak, bl_feature_row *row)
{
    uint32_t after = k->begun ? peak - k->last : 0;
    int found = k->begun;

    if (after > MAX_INTERVAL)
        after = MAX_INTERVAL;
    if (found) {
        find_row(k, (uint16_t)after, row);
        remember_interval(k);
        k->before = (uint16_t)after;
    }
    k->irregularity = found ? measure_irregularity(k, (uint16_t)after) : 0;
    k->begun = 1;
    k->last = peak;
    k->similarity = measure_similarity(k, peak);
    begin_beat(k, peak);
    return found;
}

int bl_features_end(bl_features *k, bl_feature_row *row)
{
    if (!k->begun)
        return 0;
    find_row(k, 0, row);
    return 1;
}
