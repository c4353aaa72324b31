/* Contexts of beats; see ../include/bl_contexts.h. */

#include "bl_contexts.h"

#define BINS BL_CONTEXT_BINS
#define INTERVALS BL_INTERVALS
#define CHANGES BL_CHANGES
#define DISTANCES BL_DISTANCES
#define RATIO_STEPS 16
#define CHANGE_STEPS 64
#define DISTANCE_STEPS 256
#define NEAREST_OF 4 /* intervals before one that it is held against */
#define FEWEST 16    /* distances, without which there is nothing to say */
#define USUAL 8
#define LONGEST 0xFFFFu

#define BEATS BL_ALIKE_BEATS
#define SEEN BL_ALIKE_SEEN
#define KEPT BL_ALIKE_KEPT
#define BEFORE 8 /* samples of a QRS before its R peak */
#define SHIFT 2
#define LENGTH (SEEN - 2 * SHIFT)
#define SHARES 31
#define ALIKE 6 /* their places among the contexts */
#define ERRATIC 7

/* Rhythm */

/* The upper one of the two in the middle: the largest number that no more than
 * half of the values are below, found bit by bit. */
static uint32_t median(const uint16_t *values, uint32_t count)
{
    uint32_t found = 0, bit, i;

    for (bit = 1u << 15; bit != 0; bit >>= 1) {
        uint32_t below = 0;

        for (i = 0; i < count; i++)
            below += values[i] < (found | bit);
        if (below <= count / 2)
            found |= bit;
    }
    return found;
}

static uint16_t difference(uint16_t a, uint16_t b)
{
    return (uint16_t)(a < b ? b - a : a - b);
}

/* A ratio to the mean of some intervals, one at least, in steps. */
static uint8_t steps(uint32_t part, const uint16_t *whole, uint32_t count,
                     uint32_t of_one)
{
    uint32_t sum = whole[0], i, found;

    for (i = 1; i < count; i++)
        sum += whole[i];
    found = part * of_one * count / sum;
    return (uint8_t)(found < BINS ? found : BINS - 1);
}

/* Of the last peak, with the interval after it; 0: there is none. A ratio with
 * an interval that is not there is 1. */
static void rhythm_of(const bl_contexts *r, uint16_t after, uint8_t *context)
{
    uint32_t count = r->interval_count, i;
    uint32_t last = count < USUAL ? count : USUAL;
    const uint16_t *all = r->intervals, *usual = all + count - last;
    uint16_t first = r->before != 0 ? r->before : after != 0 ? after : 1;

    if (count == 0) {
        all = usual = &first;
        count = last = 1;
    }
    for (i = 0; i < 5; i++)
        context[i] = RATIO_STEPS;
    if (after != 0)
        context[1] = steps(after, usual, last, RATIO_STEPS);
    if (r->before != 0) {
        context[0] = steps(r->before, usual, last, RATIO_STEPS);
        context[2] = steps(r->before, all, count, RATIO_STEPS);
        context[3] = steps(r->before, usual + last - 1, 1, RATIO_STEPS);
        if (after != 0)
            context[4] = steps(r->before, &after, 1, RATIO_STEPS);
    }
    context[5] = 0;
    if (r->change_count > 0)
        context[5] = steps(median(r->changes, r->change_count), usual, last,
                           CHANGE_STEPS);
}

/* Appends a value; the oldest of `most` gives way. */
static uint8_t append(uint16_t *values, uint8_t count, uint32_t most,
                      uint16_t value)
{
    if (count == most) {
        uint32_t i;

        for (i = 1; i < most; i++)
            values[i - 1] = values[i];
        count--;
    }
    values[count] = value;
    return (uint8_t)(count + 1);
}

/* The interval before the last peak becomes one of those that were before. */
static void remember(bl_contexts *r)
{
    if (r->before == 0)
        return;
    if (r->interval_count > 0)
        r->change_count = append(
            r->changes, r->change_count, CHANGES,
            difference(r->intervals[r->interval_count - 1], r->before));
    r->interval_count =
        append(r->intervals, r->interval_count, INTERVALS, r->before);
}

/* How erratic the rhythm is up to an interval behind those remembered. */
static uint8_t erratic(bl_contexts *r, uint16_t interval)
{
    uint32_t count = r->interval_count, i;
    uint16_t nearest = LONGEST;

    for (i = count < NEAREST_OF ? 0 : count - NEAREST_OF; i < count; i++) {
        uint16_t distance = difference(r->intervals[i], interval);

        if (distance < nearest)
            nearest = distance;
    }
    if (count > 0)
        r->distance_count =
            append(r->distances, r->distance_count, DISTANCES, nearest);
    if (r->distance_count < FEWEST)
        return 0;
    return steps(median(r->distances, r->distance_count), r->intervals, count,
                 DISTANCE_STEPS);
}

/* Likeness */

/* Whether two beats' correlation is above 0.9 for any shift. Covariances are
 * times LENGTH squared, below 2^24; the other beat's sums move with the shift.
 */
static int are_alike(const int8_t *mine, const int8_t *other)
{
    int32_t sum = 0, squares = 0, their_sum = 0, their_squares = 0, i, shift;
    int64_t variance;

    for (i = 0; i < LENGTH; i++) {
        sum += mine[i];
        squares += mine[i] * mine[i];
        their_sum += other[i];
        their_squares += other[i] * other[i];
    }
    variance = LENGTH * squares - sum * sum;
    for (shift = 0;; shift++) {
        int32_t products = 0, gone = other[shift], next;
        int64_t common, theirs;

        for (i = 0; i < LENGTH; i++)
            products += mine[i] * other[shift + i];
        common = LENGTH * products - sum * their_sum;
        theirs = LENGTH * their_squares - their_sum * their_sum;
        if (common > 0 && 100 * common * common > 81 * variance * theirs)
            return 1;
        if (shift == 2 * SHIFT)
            return 0;
        next = other[shift + LENGTH];
        their_sum += next - gone;
        their_squares += next * next - gone * gone;
    }
}

/* A sample of the stretch, if it is there. */
static int8_t heard(const bl_contexts *k, uint32_t sample)
{
    return sample < k->heard ? k->x[sample % KEPT] : 0;
}

/* How many of the last beats look like the one at `peak`; remembers it. */
static uint8_t likeness(bl_contexts *k, uint32_t peak)
{
    int8_t beat[SEEN];
    uint32_t alike = 0, among = k->beat_count, i;

    for (i = 0; i < SEEN; i++)
        beat[i] = heard(k, peak + i - BEFORE - SHIFT); /* huge if below 0 */
    for (i = 0; i < among; i++)
        alike += (uint32_t)are_alike(beat + SHIFT, k->beats[i]);
    for (i = 0; i < SEEN; i++)
        k->beats[k->next_beat][i] = beat[i];
    k->next_beat = (uint8_t)((k->next_beat + 1) % BEATS);
    if (among < BEATS)
        k->beat_count++;
    return (uint8_t)(among > 0 ? SHARES * alike / among : SHARES);
}

/* Interface */

void bl_contexts_begin(bl_contexts *k)
{
    k->before = 0;
    k->interval_count = k->change_count = k->distance_count = k->begun = 0;
    k->beat_count = k->next_beat = 0;
    k->heard = 0;
}

void bl_contexts_hear(bl_contexts *k, int8_t x)
{
    k->x[k->heard++ % KEPT] = x;
}

int bl_contexts_push(bl_contexts *k, uint32_t peak, uint8_t of[BL_CONTEXTS])
{
    uint32_t after = k->begun ? peak - k->last : 0;
    int found = k->begun;

    if (after > LONGEST)
        after = LONGEST;
    if (found) {
        rhythm_of(k, (uint16_t)after, of);
        of[ALIKE] = k->alike;
        of[ERRATIC] = k->erratic;
        remember(k);
        k->before = (uint16_t)after;
    }
    k->erratic = found ? erratic(k, (uint16_t)after) : 0;
    k->begun = 1;
    k->last = peak;
    k->alike = likeness(k, peak);
    return found;
}

int bl_contexts_end(bl_contexts *k, uint8_t of[BL_CONTEXTS])
{
    if (!k->begun)
        return 0;
    rhythm_of(k, 0, of);
    of[ALIKE] = k->alike;
    of[ERRATIC] = k->erratic;
    return 1;
}
