/* The patient's own beats; see ../include/bl_patient.h. */

#include "bl_patient.h"

#define CLUSTERS BL_PATIENT_CLUSTERS
#define QRS BL_PATIENT_QRS
#define P BL_PATIENT_P
#define LARGEST_BIN 31

#define ONE 256       /* a correlation of 1; a count of one beat */
#define JOINS 230     /* correlation that a beat of a cluster is above */
#define DECAY 8       /* counts lose 1 / 2^DECAY of themselves a beat */
#define SETTLED 4     /* beats for which a template moves quickly: */
#define QUICK 1       /* by 1 / 2^QUICK of the difference, */
#define SLOW 3        /* and by 1 / 2^SLOW later */
#define QRS_SHIFT 2   /* samples by which a QRS complex may be moved */
#define P_SHIFT 3     /* likewise of a P wave */
#define QRS_SCALE 8   /* of a template */
#define P_SCALE 16    /* of a usual P wave */
#define MEMORY 4      /* usual beats move by 1 / 2^MEMORY */
#define INTERVAL 3    /* a cluster's interval moves by 1 / 2^INTERVAL */
#define LONG_MEAN 64  /* intervals of the long mean */
#define FRACTION 4    /* bits after the point of what is remembered */
#define RATIO_STEPS 16
#define T_MIDDLE 16   /* bin of a T wave as the usual one */

/* Places in a beat's samples. */
#define PEAK BL_PATIENT_BEFORE
#define TEMPLATE_FROM (PEAK - 8 - QRS_SHIFT)
#define BASELINE_FROM (PEAK - 20)
#define BASELINE 6
#define QRS_FROM (PEAK - 16)
#define QRS_UNTIL (PEAK + 20)
#define AREA_FROM (PEAK - 12)
#define AREA_UNTIL (PEAK + 16)
#define T_FROM (PEAK + 16)
#define T_UNTIL (PEAK + 48)

/* Negative numbers are shifted as two's complement, downwards. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

/* Correlation */

typedef struct {
    int32_t correlation; /* times 256, rounded towards 0 */
    int32_t place;       /* of the samples where the covariance is largest */
} fit;

static uint32_t find_root(uint64_t square)
{
    uint64_t found = 0, bit = (uint64_t)1 << 56;

    while (bit > square)
        bit >>= 2;
    for (; bit != 0; bit >>= 2) {
        if (square >= found + bit) {
            square -= found + bit;
            found = (found >> 1) + bit;
        } else {
            found >>= 1;
        }
    }
    return (uint32_t)found;
}

/* Sum of squares times n, less the square of the sum. */
static uint32_t find_variance(int32_t n, uint32_t squares, int32_t sum)
{
    uint32_t size = sum < 0 ? (uint32_t)-sum : (uint32_t)sum;

    return (uint32_t)n * squares - size * size;
}

/* The correlation of a template of n values with n of the samples, where their
 * covariance is largest; the first of equal ones. */
static fit correlate(const int8_t *samples, const int16_t *template_, int32_t n,
                     int32_t shifts)
{
    int32_t template_sum = 0, best = INT32_MIN, place = 0, sum = 0, i, shift;
    uint32_t template_squares = 0, squares = 0, root, size;
    fit found = {0, 0};

    for (i = 0; i < n; i++) {
        template_sum += template_[i];
        template_squares += (uint32_t)(template_[i] * template_[i]);
        sum += samples[i];
    }
    for (shift = 0; shift <= shifts; shift++) {
        int32_t products = 0, covariance;

        for (i = 0; i < n; i++)
            products += samples[shift + i] * template_[i];
        covariance = n * products - sum * template_sum;
        if (covariance > best) {
            best = covariance;
            place = shift;
        }
        if (shift < shifts)
            sum += samples[shift + n] - samples[shift];
    }
    sum = 0;
    for (i = place; i < place + n; i++) {
        sum += samples[i];
        squares += (uint32_t)(samples[i] * samples[i]);
    }
    found.place = place;
    root = find_root((uint64_t)find_variance(n, squares, sum) *
                     find_variance(n, template_squares, template_sum)) >> 4;
    size = best < 0 ? (uint32_t)-best : (uint32_t)best;
    size = (size << 4) / (root > 0 ? root : 1);
    found.correlation = (int32_t)(size < ONE ? size : ONE);
    if (best < 0)
        found.correlation = -found.correlation;
    return found;
}

/* Measures of one beat */

typedef struct {
    int32_t width;     /* bin */
    int32_t steepness; /* bin */
    int32_t area;      /* steps of the samples */
    int32_t t_wave;    /* 16ths of the QRS complex */
} measures;

static int32_t size_of(int32_t value)
{
    return value < 0 ? -value : value;
}

static uint8_t bin_of(int32_t value)
{
    return (uint8_t)(value < 0             ? 0
                     : value > LARGEST_BIN ? LARGEST_BIN
                                           : value);
}

/* The third smallest but one of six samples. */
static int32_t find_baseline(const int8_t *segment)
{
    int32_t i, k;

    for (i = 0; i < BASELINE; i++) {
        int32_t value = segment[BASELINE_FROM + i], below = 0, equal = 0;

        for (k = 0; k < BASELINE; k++) {
            below += segment[BASELINE_FROM + k] < value;
            equal += segment[BASELINE_FROM + k] == value;
        }
        if (below <= 3 && 3 < below + equal)
            return value;
    }
    return 0; /* not reached: one of them is */
}

static void measure(const int8_t *segment, measures *m)
{
    int32_t baseline = find_baseline(segment), largest = 0, steepest = 0;
    int32_t t_peak = 0, t_size = 0, first = 0, last = 0, i, points_down = 0;
    int32_t has_first = 0;

    for (i = QRS_FROM; i < QRS_UNTIL; i++) {
        int32_t deflection = segment[i] - baseline;

        if (size_of(deflection) > largest) {
            largest = size_of(deflection);
            points_down = deflection < 0;
        }
        if (i + 1 < QRS_UNTIL && size_of(segment[i + 1] - segment[i]) > steepest)
            steepest = size_of(segment[i + 1] - segment[i]);
    }
    for (i = QRS_FROM; i < QRS_UNTIL; i++) {
        if (2 * size_of(segment[i] - baseline) < largest)
            continue;
        if (!has_first)
            first = i;
        has_first = 1;
        last = i;
    }
    m->area = 0;
    for (i = AREA_FROM; i < AREA_UNTIL; i++)
        m->area += size_of(segment[i] - baseline);
    for (i = T_FROM; i < T_UNTIL; i++) {
        if (size_of(segment[i] - baseline) > t_size) {
            t_size = size_of(segment[i] - baseline);
            t_peak = segment[i] - baseline;
        }
    }
    if (largest == 0)
        largest = 1;
    m->width = bin_of(last - first + 1);
    m->steepness = bin_of(32 * steepest / largest);
    m->t_wave = 16 * t_size / largest;
    if ((t_peak < 0) != points_down)
        m->t_wave = -m->t_wave;
}

/* The usual beat of a cluster */

static void begin_usual(bl_cluster *c, const measures *m, const int8_t *segment)
{
    int32_t i;

    c->area = m->area << FRACTION;
    c->t_wave = m->t_wave * (1 << FRACTION);
    for (i = 0; i < P; i++)
        c->p_wave[i] = (int16_t)(P_SCALE * segment[P_SHIFT + i]);
}

static void move_usual(bl_cluster *c, const measures *m, const int8_t *segment)
{
    int32_t i;

    c->area += ((m->area << FRACTION) - c->area) >> MEMORY;
    c->t_wave += (m->t_wave * (1 << FRACTION) - c->t_wave) >> MEMORY;
    for (i = 0; i < P; i++)
        c->p_wave[i] = (int16_t)(
            c->p_wave[i] +
            ((P_SCALE * segment[P_SHIFT + i] - c->p_wave[i]) >> MEMORY));
}

/* Bins of area, T wave and P wave, against a usual beat. */
static void compare(const bl_cluster *c, const measures *m,
                    const int8_t *segment, uint8_t *bins)
{
    fit p = correlate(segment, c->p_wave, P, 2 * P_SHIFT);
    int32_t area = c->area > 0 ? c->area : 1;

    bins[0] = bin_of((8 * m->area << FRACTION) / area);
    bins[1] = bin_of(T_MIDDLE + m->t_wave - (c->t_wave >> FRACTION));
    bins[2] = bin_of((p.correlation + ONE) >> 4);
}

/* Clusters */

static uint32_t find_usual(const bl_patient *p)
{
    uint32_t best = 0, i;

    for (i = 1; i < CLUSTERS; i++)
        if (p->clusters[i].count > p->clusters[best].count)
            best = i;
    return best;
}

static uint32_t find_rarest(const bl_patient *p)
{
    uint32_t best = 0, i;

    for (i = 1; i < CLUSTERS; i++)
        if (p->clusters[i].count < p->clusters[best].count)
            best = i;
    return best;
}

static void begin_template(bl_cluster *c, const int8_t *qrs)
{
    int32_t i;

    for (i = 0; i < QRS; i++)
        c->qrs[i] = (int16_t)(QRS_SCALE * qrs[QRS_SHIFT + i]);
    c->count = 0;
    c->beats = 1;
    c->interval = 0;
}

static void move_template(bl_cluster *c, const int8_t *qrs, int32_t place)
{
    uint32_t part = c->beats < SETTLED ? QUICK : SLOW;
    int32_t i;

    for (i = 0; i < QRS; i++)
        c->qrs[i] = (int16_t)(
            c->qrs[i] + ((QRS_SCALE * qrs[place + i] - c->qrs[i]) >> part));
    if (c->beats < SETTLED)
        c->beats++;
}

/* Lets a beat join a cluster or begin one. Gives its cluster's share and its
 * correlation with the usual beat as bins. */
static bl_membership join(bl_patient *p, const int8_t *qrs, uint8_t *share,
                          uint8_t *similarity)
{
    uint32_t total = 0, usual = find_usual(p), best = 0, i;
    bl_membership found = {0, 0};
    fit fits[CLUSTERS];

    for (i = 0; i < CLUSTERS; i++) {
        fits[i].correlation = -ONE;
        fits[i].place = 0;
        if (p->clusters[i].count > 0)
            fits[i] = correlate(qrs, p->clusters[i].qrs, QRS, 2 * QRS_SHIFT);
        if (fits[i].correlation > fits[best].correlation)
            best = i;
        total += p->clusters[i].count;
    }
    *similarity = bin_of(
        ((total > 0 ? fits[usual].correlation : ONE) + ONE) >> 4);
    found.begins = fits[best].correlation <= JOINS;
    if (found.begins) {
        best = find_rarest(p);
        *share = total > 0 ? 0 : LARGEST_BIN;
        begin_template(&p->clusters[best], qrs);
    } else {
        *share = (uint8_t)(31 * p->clusters[best].count / total);
        move_template(&p->clusters[best], qrs, fits[best].place);
    }
    for (i = 0; i < CLUSTERS; i++)
        p->clusters[i].count -= p->clusters[i].count >> DECAY;
    p->clusters[best].count += ONE;
    found.cluster = (uint8_t)best;
    return found;
}

/* Intervals */

static int32_t find_long_mean(const bl_patient *p, uint16_t interval)
{
    if (p->intervals > 0)
        return p->interval;
    return (interval > 0 ? interval : 1) * (1 << FRACTION);
}

static void remember_interval(bl_patient *p, uint16_t interval)
{
    int32_t difference = interval * (1 << FRACTION) - p->interval, part;

    if (interval == 0)
        return;
    if (p->intervals < LONG_MEAN)
        p->intervals++;
    part = difference / p->intervals;
    if (difference % p->intervals < 0)
        part--; /* downwards */
    p->interval += part;
}

static void move_interval(bl_cluster *c, uint16_t interval)
{
    int32_t now = interval * (1 << FRACTION);

    if (interval == 0)
        return;
    if (c->interval == 0)
        c->interval = now;
    c->interval += (now - c->interval) >> INTERVAL;
}

/* Interface */

void bl_patient_init(bl_patient *p)
{
    uint32_t i;

    for (i = 0; i < CLUSTERS; i++) {
        p->clusters[i].count = 0;
        p->clusters[i].interval = 0;
        p->clusters[i].beats = 0;
    }
    p->interval = 0;
    p->intervals = 0;
}

bl_membership bl_patient_add_beat(bl_patient *p, const int8_t *segment,
                                  uint16_t interval,
                                  uint8_t features[BL_PATIENT_FEATURES])
{
    const bl_cluster *usual = &p->clusters[find_usual(p)];
    int32_t mean = find_long_mean(p, interval);
    bl_membership found;
    bl_cluster *own;
    measures m;

    measure(segment, &m);
    features[4] = (uint8_t)m.width;
    features[5] = (uint8_t)m.steepness;
    features[6] = 8;
    features[7] = T_MIDDLE;
    features[8] = LARGEST_BIN;
    if (usual->count > 0)
        compare(usual, &m, segment, &features[6]);
    found = join(p, segment + TEMPLATE_FROM, &features[1], &features[3]);
    own = &p->clusters[found.cluster];
    move_interval(own, interval);
    features[0] = RATIO_STEPS;
    if (interval > 0)
        features[0] = bin_of(RATIO_STEPS * interval * (1 << FRACTION) / mean);
    features[2] = RATIO_STEPS;
    if (own->interval > 0)
        features[2] = bin_of(RATIO_STEPS * own->interval / mean);
    if (found.begins)
        begin_usual(own, &m, segment);
    else
        move_usual(own, &m, segment);
    remember_interval(p, interval);
    return found;
}
