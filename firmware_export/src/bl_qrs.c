/* R peaks; see ../include/bl_qrs.h. Constants as in beatlens.signals.qrs,
 * qrs_decisions and qrs_shapes. */

#include "bl_qrs.h"

#define REACH 4 /* smoothed samples from a curvature's middle to its ends */
#define SIDE (REACH + 1) /* samples */
#define BESIDE (BL_QRS_SUMMED / 2) /* curvatures on each side of the middle */
#define NEAR 6 /* samples from a sum's maximum within which its peak lies */
#define KEPT BL_QRS_KEPT
#define KEPT_X BL_QRS_KEPT_X
#define SMOOTHED BL_QRS_SMOOTHED
#define NEIGHBOURS BL_QRS_NEIGHBOURS
#define SUMS BL_QRS_SUMS
#define REMEMBERED BL_QRS_REMEMBERED
#define BACKGROUND 26 /* samples from a sum back to what lies before it */
#define MAX_BACKGROUND 12
#define MAX_ROUGHNESS 6
#define RATE 128
#define REFRACTORY 26
#define T_WAVE 46
#define FLAT_T 13
#define EARLY_T 36
#define EARLY_FLAT_T 21
#define HIGH 11
#define HIGH_SIMILAR 18
#define HIGH_OTHER 32
#define ON_TIME 28u
#define LOW 4
#define NOISE_CAP 10
#define CLOSED 6
#define DOUBLE 7
#define LONG_GAP 34u
#define DOUBLE_GAP 54u
#define APART 40
#define WORTH_A_LOOK 6
#define LARGEST_BEAT 2 /* median beats that one counts as, at most */
#define SILENCE (4 * RATE)
#define RECENT (8u * RATE)

#define STRIDE 2 /* samples between two values around a peak */
#define BEFORE (BL_QRS_AROUND / 2 * STRIDE) /* samples to the peak */

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down, as every compiler for these cores does. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

/* Where peaks are handed out to. */
typedef struct {
    bl_on_peak on_peak;
    void *context;
} receiver;

/* A maximum of sums. */
typedef struct {
    uint32_t at;     /* sample of its peak */
    int16_t value;   /* the sum, above 0 */
    uint8_t clear;   /* little noise around it */
    uint8_t kept;    /* samples around it are kept */
} candidate;

/* Medians */

/* The fifth of eight numbers in order. */
static uint32_t find_median(const uint32_t *values)
{
    uint32_t sorted[REMEMBERED] = {0}, i, j;

    for (i = 0; i < REMEMBERED; i++) {
        for (j = i; j > 0 && sorted[j - 1] > values[i]; j--)
            sorted[j] = sorted[j - 1];
        sorted[j] = values[i];
    }
    return sorted[REMEMBERED / 2];
}

/* The same of sums, which are not below 0. */
static int16_t find_median_sum(const int16_t *values)
{
    uint32_t wide[REMEMBERED], i;

    for (i = 0; i < REMEMBERED; i++)
        wide[i] = (uint32_t)values[i];
    return (int16_t)find_median(wide);
}

static void remember(bl_qrs_sums *sums, int32_t newest)
{
    uint32_t i;

    for (i = 1; i < REMEMBERED; i++)
        sums->values[i - 1] = sums->values[i];
    sums->values[REMEMBERED - 1] = (int16_t)newest;
    sums->median = find_median_sum(sums->values);
}

static void halve(bl_qrs_sums *sums)
{
    uint32_t i;

    for (i = 0; i < REMEMBERED; i++)
        sums->values[i] = (int16_t)(sums->values[i] >> 1);
    sums->median = find_median_sum(sums->values);
}

/* `part` 32nds of the way from noise to beats. */
static int32_t mix_threshold(int32_t noise, int32_t beat, int32_t part)
{
    return noise + ((beat - noise) * part >> 5);
}

/* Samples */

/* A sample; 0 before the first and after the last one. */
static int32_t read_x(const bl_qrs *q, uint32_t index)
{
    return index < q->samples ? q->x[index % KEPT_X] : 0;
}

/* The values around a peak, each a sum of three samples. */
static const int16_t *read_shape(const bl_qrs *q, uint32_t peak,
                                 int16_t *seen)
{
    uint32_t at = peak - BEFORE, i;
    int32_t edge = read_x(q, at - 1);

    for (i = 0; i < BL_QRS_AROUND; i++, at += STRIDE) {
        int32_t next = read_x(q, at + 1);

        seen[i] = (int16_t)(edge + read_x(q, at) + next);
        edge = next;
    }
    return seen;
}

/* Decisions */

/* Forgets the candidates up to a time. */
static void forget(bl_qrs *q, uint32_t at)
{
    uint8_t kept = 0, i;

    for (i = 0; i < q->waiting_count; i++)
        if (q->waiting_at[i] > at) {
            q->waiting_at[kept] = q->waiting_at[i];
            q->waiting[kept++] = q->waiting[i];
        }
    q->waiting_count = kept;
}

/* Waiting sums below 0 are those of candidates in noise. */
static int16_t size_of(int16_t waiting)
{
    return (int16_t)(waiting < 0 ? -waiting : waiting);
}

static void accept(bl_qrs *q, uint32_t at, int16_t value, int32_t counts,
                   const receiver *to)
{
    if (q->last_value >= 0) {
        uint32_t i;

        for (i = 1; i < REMEMBERED; i++)
            q->intervals[i - 1] = q->intervals[i];
        q->intervals[REMEMBERED - 1] = at - q->last;
        q->interval = find_median(q->intervals);
    }
    q->last = q->quiet = at;
    q->last_value = value;
    remember(&q->beats, counts);
    forget(q, at);
    if (to->on_peak != 0)
        to->on_peak(to->context, at);
}

/* Accepts the largest waiting candidate between the last beat and `now`, the
 * first of equal ones, if it is above a threshold. Left out are `behind`
 * samples from the beat on, `before` ones before `now`, and what is in noise
 * if `clear` is set. Returns whether there was one. */
static uint32_t accept_largest(bl_qrs *q, uint32_t now, uint32_t behind,
                               uint32_t before, uint32_t clear,
                               int32_t threshold, const receiver *to)
{
    int16_t value = 0;
    uint32_t at = 0, i;

    for (i = 0; i < q->waiting_count; i++) {
        uint32_t one = q->waiting_at[i];

        if (one >= q->last + behind && one + before <= now &&
            now - one <= RECENT && size_of(q->waiting[i]) > value &&
            !(clear && q->waiting[i] < 0)) {
            value = size_of(q->waiting[i]);
            at = one;
        }
    }
    if (value == 0 || value <= threshold)
        return 0;
    accept(q, at, value, value, to);
    return 1;
}

/* Accepts a beat that is overdue. Sums of beats that were missed are among
 * those of noise, which is why noise is capped here. */
static uint32_t accept_overdue(bl_qrs *q, uint32_t now, uint32_t closed,
                               const receiver *to)
{
    int32_t noise = q->noise.median, beat = q->beats.median;
    int32_t cap = NOISE_CAP * beat >> 5;

    if (2 * (now - q->last) <= 3 * q->interval)
        return 0;
    return accept_largest(q, now, REFRACTORY + 1, closed ? REFRACTORY : 0, 0,
                          mix_threshold(noise < cap ? noise : cap, beat, LOW),
                          to);
}

/* Accepts a small beat in a gap that a beat at `now` closes. */
static uint32_t accept_small(bl_qrs *q, uint32_t now, const receiver *to)
{
    int32_t beat = q->beats.median;
    int32_t threshold = mix_threshold(q->noise.median, beat, CLOSED);
    uint32_t gap = 32 * (now - q->last), interval = q->interval;

    if (gap <= LONG_GAP * interval)
        return 0;
    if (gap > DOUBLE_GAP * interval && threshold > DOUBLE * beat >> 5)
        threshold = DOUBLE * beat >> 5;
    return accept_largest(q, now, APART, APART, 1, threshold, to);
}

/* Accepts beats between the last one and a candidate at `now`, which is a beat
 * if the gap is closed. */
static void fill(bl_qrs *q, uint32_t now, uint32_t closed, const receiver *to)
{
    while (q->last_value >= 0 &&
           (accept_overdue(q, now, closed, to) ||
            (closed && accept_small(q, now, to))))
        ;
}

/* Keeps a candidate that is not a beat, so far: one of the last eight. */
static void keep(bl_qrs *q, uint32_t at, int32_t value)
{
    if (q->waiting_count == REMEMBERED)
        forget(q, q->waiting_at[0]);
    q->waiting_at[q->waiting_count] = at;
    q->waiting[q->waiting_count++] = (int16_t)value;
}

/* Whether a candidate is a T wave of the last beat, `since` samples ago. */
static uint32_t is_flat(const bl_qrs *q, uint32_t since, int16_t value)
{
    return (since < T_WAVE && 32 * value < FLAT_T * q->last_value) ||
           (since < EARLY_T && 32 * value < EARLY_FLAT_T * q->last_value);
}

/* Whether a candidate that is not clear looks like a beat; yes where that is
 * not known. */
static uint32_t is_similar(const bl_qrs *q, const candidate *c)
{
    int16_t seen[BL_QRS_AROUND];

    if (!c->kept)
        return 1;
    return 32 * c->value > WORTH_A_LOOK * q->beats.median &&
           bl_qrs_resembles(&q->shapes, read_shape(q, c->at, seen));
}

/* Whether a candidate is a beat at first sight. */
static uint32_t is_beat(const bl_qrs *q, const candidate *c, uint32_t similar)
{
    int32_t part = HIGH;

    if (q->last_value >= 0) {
        uint32_t since = c->at - q->last;

        if (since < REFRACTORY || is_flat(q, since, c->value))
            return 0;
        if (!c->clear && 32 * since <= ON_TIME * q->interval)
            part = similar ? HIGH_SIMILAR : HIGH_OTHER;
    }
    return c->value > mix_threshold(q->noise.median,
                                    q->beats.median, part);
}

static void decide(bl_qrs *q, const candidate *c, const receiver *to)
{
    uint32_t similar = c->clear || is_similar(q, c), flat = 0;

    fill(q, c->at, is_beat(q, c, similar), to);
    if (q->last_value >= 0) {
        uint32_t since = c->at - q->last;

        if (since < REFRACTORY)
            return;
        if (c->at - q->quiet > SILENCE) { /* the amplitude fell */
            halve(&q->beats);
            halve(&q->noise);
            q->quiet = c->at - SILENCE / 2;
        }
        flat = is_flat(q, since, c->value);
    }
    if (is_beat(q, c, similar)) {
        int32_t cap = LARGEST_BEAT * q->beats.median;

        accept(q, c->at, c->value, c->value < cap ? c->value : cap, to);
        if (c->kept) {
            int16_t seen[BL_QRS_AROUND];

            bl_qrs_learn(&q->shapes, read_shape(q, c->at, seen));
        }
        return;
    }
    remember(&q->noise, c->value);
    if (!flat)
        keep(q, c->at, similar ? c->value : -c->value);
}

/* Decides on the candidates of the first seconds. */
static void begin(bl_qrs *q, const receiver *to)
{
    uint8_t early = q->waiting_count, i;
    candidate c;

    q->beats.median = find_median_sum(q->beats.values);
    q->waiting_count = 0;
    c.kept = 0;
    /* Candidates that are kept are fewer than those that were looked at, so no
     * place is overwritten too early. */
    for (i = 0; i < early; i++) {
        c.at = q->waiting_at[i];
        c.value = size_of(q->waiting[i]);
        c.clear = q->waiting[i] > 0;
        decide(q, &c, to);
    }
}

/* Sums and their maxima */

static int16_t read_sum(const bl_qrs *q, uint32_t index)
{
    return q->sums[index % SUMS];
}

/* Is the sum at a sample the first of the largest around it? */
static uint32_t is_largest(const bl_qrs *q, uint32_t at)
{
    int16_t value = read_sum(q, at);
    uint32_t k;

    if (value <= q->floor)
        return 0;
    for (k = 1; k <= NEIGHBOURS; k++)
        if ((k <= at && read_sum(q, at - k) >= value) ||
            read_sum(q, at + k) > value)
            return 0;
    return 1;
}

/* Where the curvature is largest near a sum's maximum. */
static uint32_t find_peak(const bl_qrs *q, uint32_t at)
{
    uint32_t peak = at, i;

    for (i = at < NEAR ? 0 : at - NEAR; i <= at + NEAR; i++)
        if (q->curvature[i % KEPT] > q->curvature[peak % KEPT])
            peak = i;
    return peak;
}

/* Whether there is little noise at a maximum and before it. */
static uint8_t is_clear(const bl_qrs *q, uint32_t at)
{
    int32_t value = read_sum(q, at), rough = 0;
    uint32_t first = at - BESIDE, i;
    int32_t before = read_x(q, first - 1), now = read_x(q, first);

    if (at >= BACKGROUND &&
        32 * read_sum(q, at - BACKGROUND) > MAX_BACKGROUND * value)
        return 0;
    for (i = 1; i <= BL_QRS_SUMMED; i++) {
        int32_t next = read_x(q, first + i), bend = 2 * now - before - next;

        rough += bend < 0 ? -bend : bend;
        before = now;
        now = next;
    }
    return 32 * rough <= MAX_ROUGHNESS * value;
}

/* The candidate at a maximum. */
static void measure(const bl_qrs *q, uint32_t at, candidate *c)
{
    c->at = find_peak(q, at);
    c->value = read_sum(q, at);
    c->clear = is_clear(q, at);
    c->kept = 1;
}

/* Takes the sum at a sample of the first seconds; `c` is its candidate, or
 * 0. */
static void take_early(bl_qrs *q, uint32_t at, const candidate *c,
                       const receiver *to)
{
    if (read_sum(q, at) > q->largest)
        q->largest = read_sum(q, at);
    if (c != 0) {
        q->waiting_at[q->waiting_count] = c->at;
        q->waiting[q->waiting_count++] =
            (int16_t)(c->clear ? c->value : -c->value);
    }
    if ((at + 1) % RATE == 0) {
        q->beats.values[q->seconds++] = q->largest;
        q->largest = 0;
        if (q->seconds == REMEMBERED)
            begin(q, to);
    }
}

static void take_sum(bl_qrs *q, uint32_t at, const receiver *to)
{
    candidate c;
    uint32_t found = is_largest(q, at);

    if (found)
        measure(q, at, &c);
    if (q->seconds < REMEMBERED)
        take_early(q, at, found ? &c : 0, to);
    else if (found)
        decide(q, &c, to);
}

static void add_sum(bl_qrs *q, int16_t sum, const receiver *to)
{
    q->sums[q->summed % SUMS] = sum;
    if (q->summed++ >= NEIGHBOURS)
        take_sum(q, q->summed - 1 - NEIGHBOURS, to);
}

static void add_curvature(bl_qrs *q, int16_t curvature, const receiver *to)
{
    /* Before the first curvature there are zeros. */
    q->sum += curvature - q->curvature[(q->curved - BL_QRS_SUMMED) % KEPT];
    q->curvature[q->curved % KEPT] = curvature;
    if (q->curved++ >= BESIDE)
        add_sum(q, (int16_t)q->sum, to);
}

/* Takes a sample, and smooths the one before it. */
static void smooth(bl_qrs *q, int8_t x)
{
    uint32_t n = q->samples++;

    q->x[n % KEPT_X] = x;
    q->smoothed[n % SMOOTHED] =
        (int16_t)(q->x[(n - 2) % KEPT_X] + q->x[(n - 1) % KEPT_X] + x);
}

/* A smoothed value, the newest being number 1. */
static int32_t read_smoothed(const bl_qrs *q, uint32_t number)
{
    return q->smoothed[(q->samples - number) % SMOOTHED];
}

/* |2 y[n] - y[n - 4] - y[n + 4]| in the middle of the newest smoothed ones. */
static int16_t measure_curvature(const bl_qrs *q)
{
    int32_t bend = 2 * read_smoothed(q, REACH + 1) - read_smoothed(q, 1) -
                   read_smoothed(q, 2 * REACH + 1);

    return (int16_t)(bend < 0 ? -bend : bend);
}

/* Interface */

void bl_qrs_init(bl_qrs *q, int16_t floor)
{
    uint32_t i;

    q->samples = q->curved = q->summed = q->last = q->quiet = 0;
    q->sum = 0;
    q->floor = floor;
    q->largest = 0;
    q->last_value = -1;
    q->waiting_count = q->seconds = 0;
    for (i = 0; i < KEPT_X; i++)
        q->x[i] = 0;
    for (i = 0; i < KEPT; i++)
        q->curvature[i] = 0;
    for (i = 0; i < REMEMBERED; i++) {
        q->beats.values[i] = q->noise.values[i] = 0;
        q->intervals[i] = RATE;
    }
    q->beats.median = q->noise.median = 0;
    q->interval = RATE;
    bl_qrs_forget_shapes(&q->shapes);
}

void bl_qrs_push(bl_qrs *q, int8_t x, bl_on_peak on_peak, void *context)
{
    receiver to;

    to.on_peak = on_peak;
    to.context = context;
    smooth(q, x);
    if (q->samples > 2 * SIDE)
        add_curvature(q, measure_curvature(q), &to);
    else if (q->samples > SIDE)
        add_curvature(q, 0, &to);
}

void bl_qrs_end(bl_qrs *q, bl_on_peak on_peak, void *context)
{
    uint32_t i;
    receiver to;

    to.on_peak = on_peak;
    to.context = context;
    while (q->samples > 0 && q->curved < q->samples + BESIDE)
        add_curvature(q, 0, &to);
    for (i = 0; q->samples > 0 && i < NEIGHBOURS; i++)
        add_sum(q, -1, &to);
    if (q->seconds < REMEMBERED) { /* a short one: by what there is */
        uint32_t seen = q->seconds > 0 ? q->seconds : 1;

        if (q->seconds == 0)
            q->beats.values[0] = q->largest;
        for (i = seen; i < REMEMBERED; i++)
            q->beats.values[i] = q->beats.values[i - seen];
        begin(q, &to);
    }
    bl_qrs_init(q, q->floor);
}
