/* R peaks; see ../include/bl_qrs.h. Constants as in beatlens.signals.qrs. */

#include "bl_qrs.h"

#define REACH 4 /* smoothed samples from a curvature's middle to its ends */
#define SIDE (REACH + 1) /* samples */
#define BESIDE (BL_QRS_SUMMED / 2) /* curvatures on each side of the middle */
#define NEAR 6 /* samples from a sum's maximum within which its peak lies */
#define KEPT BL_QRS_KEPT
#define NEIGHBOURS BL_QRS_NEIGHBOURS
#define WINDOW (2 * NEIGHBOURS + 1)
#define REMEMBERED BL_QRS_REMEMBERED
#define FLOOR 150
#define RATE 128
#define REFRACTORY 26
#define T_WAVE 46
#define FLAT_T 13
#define EARLY_T 36
#define EARLY_FLAT_T 21
#define HIGH 11
#define LOW 4
#define NOISE_CAP 12
#define LARGEST_BEAT 2 /* median beats that one counts as, at most */
#define SILENCE (4 * RATE)
#define RECENT (8u * RATE)

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down, as every compiler for these cores does. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

/* Where peaks are handed out to. */
typedef struct {
    bl_on_peak on_peak;
    void *context;
} receiver;

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
static int32_t find_median_sum(const int16_t *values)
{
    uint32_t wide[REMEMBERED], i;

    for (i = 0; i < REMEMBERED; i++)
        wide[i] = (uint32_t)values[i];
    return (int32_t)find_median(wide);
}

static void remember(int16_t *values, int32_t newest)
{
    uint32_t i;

    for (i = 1; i < REMEMBERED; i++)
        values[i - 1] = values[i];
    values[REMEMBERED - 1] = (int16_t)newest;
}

static void halve(int16_t *values)
{
    uint32_t i;

    for (i = 0; i < REMEMBERED; i++)
        values[i] = (int16_t)(values[i] >> 1);
}

/* `part` 32nds of the way from noise to beats. */
static int32_t mix_threshold(int32_t noise, int32_t beat, int32_t part)
{
    return noise + ((beat - noise) * part >> 5);
}

static int32_t find_threshold(const bl_qrs *q)
{
    return mix_threshold(find_median_sum(q->noise), find_median_sum(q->beats),
                         HIGH);
}

/* Sums of beats that were missed are among those of noise, which is why noise
 * is capped here. */
static int32_t find_overdue_threshold(const bl_qrs *q)
{
    int32_t noise = find_median_sum(q->noise), beat = find_median_sum(q->beats);
    int32_t cap = NOISE_CAP * beat >> 5;

    return mix_threshold(noise < cap ? noise : cap, beat, LOW);
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

static void accept(bl_qrs *q, uint32_t at, int16_t value, int32_t counts,
                   const receiver *to)
{
    if (q->last_value >= 0) {
        uint32_t i;

        for (i = 1; i < REMEMBERED; i++)
            q->intervals[i - 1] = q->intervals[i];
        q->intervals[REMEMBERED - 1] = at - q->last;
    }
    q->last = q->quiet = at;
    q->last_value = value;
    remember(q->beats, counts);
    forget(q, at);
    if (to->on_peak != 0)
        to->on_peak(to->context, at);
}

/* Accepts beats whose sums were below the threshold when they came. */
static void accept_overdue(bl_qrs *q, uint32_t now, const receiver *to)
{
    while (q->last_value >= 0 &&
           2 * (now - q->last) > 3 * find_median(q->intervals)) {
        int16_t value = 0;
        uint32_t at = 0, i;

        for (i = 0; i < q->waiting_count; i++)
            if (q->waiting_at[i] > q->last + REFRACTORY &&
                now - q->waiting_at[i] <= RECENT && q->waiting[i] > value) {
                value = q->waiting[i];
                at = q->waiting_at[i];
            }
        if (value <= find_overdue_threshold(q))
            return;
        accept(q, at, value, value, to);
    }
}

/* Keeps a candidate that is not a beat, so far: one of the last eight. */
static void keep(bl_qrs *q, uint32_t at, int16_t value)
{
    if (q->waiting_count == REMEMBERED)
        forget(q, q->waiting_at[0]);
    q->waiting_at[q->waiting_count] = at;
    q->waiting[q->waiting_count++] = value;
}

/* Whether a candidate is a T wave of the last beat, `since` samples ago. */
static uint32_t is_flat(const bl_qrs *q, uint32_t since, int16_t value)
{
    return (since < T_WAVE && 32 * value < FLAT_T * q->last_value) ||
           (since < EARLY_T && 32 * value < EARLY_FLAT_T * q->last_value);
}

static void decide(bl_qrs *q, uint32_t at, int16_t value, const receiver *to)
{
    uint32_t flat = 0;

    accept_overdue(q, at, to);
    if (q->last_value >= 0) {
        uint32_t since = at - q->last;

        if (since < REFRACTORY)
            return;
        if (at - q->quiet > SILENCE) { /* the amplitude fell */
            halve(q->beats);
            halve(q->noise);
            q->quiet = at - SILENCE / 2;
        }
        flat = is_flat(q, since, value);
    }
    if (value > find_threshold(q) && !flat) {
        int32_t cap = LARGEST_BEAT * find_median_sum(q->beats);

        accept(q, at, value, value < cap ? value : cap, to);
        return;
    }
    remember(q->noise, value);
    if (!flat)
        keep(q, at, value);
}

/* Decides on the candidates of the first seconds. */
static void begin(bl_qrs *q, const receiver *to)
{
    uint8_t early = q->waiting_count, i;

    q->waiting_count = 0;
    /* Candidates that are kept are fewer than those that were looked at, so no
     * place is overwritten too early. */
    for (i = 0; i < early; i++)
        decide(q, q->waiting_at[i], q->waiting[i], to);
}

/* Takes the sum at a sample, and the peak if it is a candidate. */
static void take_sum(bl_qrs *q, uint32_t at, int16_t value,
                     uint32_t candidate, uint32_t peak, const receiver *to)
{
    if (q->seconds == REMEMBERED) {
        if (candidate)
            decide(q, peak, value, to);
        return;
    }
    if (value > q->largest)
        q->largest = value;
    if (candidate) {
        q->waiting_at[q->waiting_count] = peak;
        q->waiting[q->waiting_count++] = value;
    }
    if ((at + 1) % RATE == 0) {
        q->beats[q->seconds++] = q->largest;
        q->largest = 0;
        if (q->seconds == REMEMBERED)
            begin(q, to);
    }
}

/* Sums and their maxima */

static int16_t read_sum(const bl_qrs *q, uint32_t index)
{
    return q->sums[index % WINDOW];
}

/* Is the sum at a sample the first of the largest around it? */
static uint32_t is_largest(const bl_qrs *q, uint32_t at)
{
    int16_t value = read_sum(q, at);
    uint32_t k;

    if (value <= FLOOR)
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

static void add_sum(bl_qrs *q, int16_t sum, const receiver *to)
{
    uint32_t at = q->summed - NEIGHBOURS;

    q->sums[q->summed % WINDOW] = sum;
    if (q->summed++ >= NEIGHBOURS) {
        uint32_t candidate = is_largest(q, at);

        take_sum(q, at, read_sum(q, at), candidate,
                 candidate ? find_peak(q, at) : 0, to);
    }
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
    uint32_t i;

    for (i = 0; i < 2 * REACH; i++)
        q->smoothed[i] = q->smoothed[i + 1];
    q->smoothed[2 * REACH] = (int16_t)(q->x[0] + q->x[1] + x);
    q->x[0] = q->x[1];
    q->x[1] = x;
}

/* |2 y[n] - y[n - 4] - y[n + 4]| in the middle of the newest smoothed ones. */
static int16_t measure_curvature(const bl_qrs *q)
{
    const int16_t *y = q->smoothed;
    int32_t bend = 2 * y[REACH] - y[0] - y[2 * REACH];

    return (int16_t)(bend < 0 ? -bend : bend);
}

/* Interface */

void bl_qrs_init(bl_qrs *q)
{
    uint32_t i;

    q->samples = q->curved = q->summed = q->last = q->quiet = 0;
    q->sum = 0;
    q->largest = 0;
    q->last_value = -1;
    q->waiting_count = q->seconds = 0;
    q->x[0] = q->x[1] = 0;
    for (i = 0; i <= 2 * REACH; i++)
        q->smoothed[i] = 0;
    for (i = 0; i < KEPT; i++)
        q->curvature[i] = 0;
    for (i = 0; i < REMEMBERED; i++) {
        q->beats[i] = q->noise[i] = 0;
        q->intervals[i] = RATE;
    }
}

void bl_qrs_push(bl_qrs *q, int8_t x, bl_on_peak on_peak, void *context)
{
    receiver to;

    to.on_peak = on_peak;
    to.context = context;
    smooth(q, x);
    q->samples++;
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
            q->beats[0] = q->largest;
        for (i = seen; i < REMEMBERED; i++)
            q->beats[i] = q->beats[i - seen];
        begin(q, &to);
    }
    bl_qrs_init(q);
}
