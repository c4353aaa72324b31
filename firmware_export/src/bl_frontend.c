/* Front end; see ../include/bl_frontend.h. */

#include "bl_frontend.h"

#define AVERAGE BL_FRONTEND_AVERAGE
#define DELAY (AVERAGE - 1)
#define FLAT_STEP 1 /* largest change of a flat signal, units of 5 microvolt */
#define FLAT_SAMPLES 192 /* without a larger change: flat */
#define NOISE_REACH 3 /* samples from the middle of a bend to its ends */
#define NOISE_STEP 20 /* with a larger bend: noisy, units of 5 microvolt */
#define MAX_TAPS 1024
#define MAX_PHASES 1024

enum { EMPTY, RUNNING, HOLDING, ENDED }; /* stages of a recording */

/* Arithmetic */

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down, as every compiler for these cores does. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

static int32_t rescale(int32_t value, bl_rescale by)
{
    int64_t product = (int64_t)value * by.multiplier;

    product = (product + (INT64_C(1) << (by.shift - 1))) >> by.shift;
    /* Out of int32 it is far out of every range that callers clamp to. */
    return product > INT32_MAX   ? INT32_MAX
           : product < INT32_MIN ? INT32_MIN
                                 : (int32_t)product;
}

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static uint32_t read_bit(const uint32_t bits[4], uint32_t index)
{
    return bits[index >> 5] >> (index & 31) & 1;
}

static void set_bit(uint32_t bits[4], uint32_t index, uint32_t bit)
{
    uint32_t mask = UINT32_C(1) << (index & 31);

    bits[index >> 5] = bit ? bits[index >> 5] | mask : bits[index >> 5] & ~mask;
}

/* Stages 2 and 3: baseline removal and scaling */

/* BL_FLAT where the newest sample or one of the 127 before it is flat, or 0. */
static uint8_t measure_flatness(bl_frontend *f, int32_t step)
{
    if (step < -FLAT_STEP || step > FLAT_STEP)
        f->same = 0;
    else if (f->same < FLAT_SAMPLES)
        f->same++;
    if (f->same >= FLAT_SAMPLES)
        f->since_flat = 0;
    else if (f->since_flat < AVERAGE)
        f->since_flat++;
    return f->since_flat < AVERAGE ? BL_FLAT : 0;
}

/* BL_NOISY where the signal bends sharply within 23 ms on both sides, or 0. */
static uint8_t measure_noise(const bl_frontend *f, uint32_t centre)
{
    uint32_t before = (centre + 2 * AVERAGE - NOISE_REACH) % (2 * AVERAGE);
    uint32_t behind = (centre + NOISE_REACH) % (2 * AVERAGE);
    int32_t bend = 2 * f->y[centre] - f->y[before] - f->y[behind];

    return bend < -NOISE_STEP || bend > NOISE_STEP ? BL_NOISY : 0;
}

/* As if the first sample had been held before. */
static void begin_y(bl_frontend *f, int16_t first)
{
    uint32_t i;

    for (i = 0; i < 2 * AVERAGE; i++)
        f->y[i] = first;
    f->sum = f->sum_before = (int32_t)first * AVERAGE;
    f->sums = (int32_t)first * (AVERAGE * AVERAGE);
}

/* Takes a sample of y; returns 1 if the one 127 samples before is ready. */
static int condition(bl_frontend *f, int16_t y, uint32_t saturated,
                     uint32_t clipped, bl_sample *out)
{
    uint32_t now = (f->newest + 1u) % (2 * AVERAGE);
    uint32_t centre = (now + 2 * AVERAGE - DELAY) % (2 * AVERAGE);
    uint32_t bit = now % AVERAGE, centre_bit = (bit + 1) % AVERAGE;
    int32_t scaled, x;
    int16_t middle;
    uint8_t flat;

    if (f->skip > DELAY) {
        begin_y(f, y);
        f->skip = DELAY;
    }
    middle = f->y[(now + AVERAGE) % (2 * AVERAGE)];
    flat = measure_flatness(f, y - f->y[f->newest]);
    f->sum_before += middle - f->y[now];
    f->sum += y - middle;
    f->sums += f->sum - f->sum_before;
    f->y[now] = y;
    f->newest = (uint8_t)now;
    set_bit(f->saturated, bit, saturated);
    set_bit(f->clipped, bit, clipped);
    if (f->skip > 0) {
        f->skip--;
        return 0;
    }
    scaled = (int32_t)f->y[centre] * (AVERAGE * AVERAGE) - f->sums;
    scaled = rescale(scaled, f->sensor->scale);
    x = clamp(scaled, -127, 127);
    out->x = (int8_t)x;
    out->flags = flat | measure_noise(f, centre);
    if (read_bit(f->saturated, centre_bit))
        out->flags |= BL_SATURATED;
    if (x != scaled || read_bit(f->clipped, centre_bit))
        out->flags |= BL_CLIPPED;
    return 1;
}

/* Stage 1: resampling */

/* Products of a phase stay below 2^31 together: the exporter sees to it. */
static int32_t filter(const bl_frontend *f)
{
    const bl_sensor *s = f->sensor;
    const int16_t *taps = s->taps + (uint32_t)f->phase * s->width;
    int32_t sum = 0;
    uint32_t i, old = s->width - (uint32_t)f->at;

    for (i = 0; i < old; i++)
        sum += (int32_t)taps[i] * f->ring[f->at + i];
    for (i = old; i < s->width; i++)
        sum += (int32_t)taps[i] * f->ring[i - old];
    return sum;
}

static void store(bl_frontend *f, int16_t count)
{
    const bl_sensor *s = f->sensor;

    f->ring[f->at] = count;
    f->at = (uint16_t)(f->at + 1u == s->width ? 0 : f->at + 1u);
    if (count <= s->low || count >= s->high)
        f->since_rail = 0;
    else if (f->since_rail < s->width)
        f->since_rail++;
}

/* Takes a count, real or held; returns how many samples became ready. */
static int resample(bl_frontend *f, int16_t count, bl_sample *out)
{
    const bl_sensor *s = f->sensor;
    int ready = 0;

    store(f, count);
    for (f->wait--; f->wait == 0;) {
        int32_t exact = rescale(filter(f), s->gain), next;
        int32_t y = clamp(exact, INT16_MIN, INT16_MAX);

        ready += condition(f, (int16_t)y, f->since_rail < s->width, exact != y,
                           out + ready);
        next = (int32_t)f->phase + s->down;
        f->wait = (uint16_t)(next / s->up);
        f->phase = (uint16_t)(next % s->up);
    }
    return ready;
}

/* Interface */

static int is_sound(const bl_rescale *by)
{
    return by->multiplier > 0 && by->shift >= 1 && by->shift <= 62;
}

int bl_frontend_init(bl_frontend *f, const bl_sensor *s, int16_t *ring,
                     uint32_t room)
{
    uint32_t i;

    /* down / up is 1000 / 128 at most; 2 * down >= up bounds one call's work */
    if (s->taps == 0 || s->width < 2 || s->width > MAX_TAPS || s->width % 2 ||
        s->up == 0 || s->up > MAX_PHASES || 2u * s->down < s->up ||
        s->down > MAX_PHASES || s->low >= s->high || !is_sound(&s->gain) ||
        !is_sound(&s->scale))
        return BL_ERROR_SENSOR;
    if (ring == 0 || room < s->width)
        return BL_ERROR_MEMORY;
    f->sensor = s;
    f->ring = ring;
    f->at = f->phase = 0;
    f->wait = (uint16_t)(s->width / 2 + 1);
    f->since_rail = s->width;
    f->to_hold = 0;
    f->skip = DELAY + 1; /* one more: there is no y yet */
    f->same = 0;
    f->since_flat = AVERAGE;
    f->count = 0;
    f->stage = EMPTY;
    f->newest = 0;
    f->sum = f->sum_before = f->sums = 0;
    for (i = 0; i < 4; i++)
        f->saturated[i] = f->clipped[i] = 0;
    for (i = 0; i < 2 * AVERAGE; i++)
        f->y[i] = 0;
    return BL_OK;
}

int bl_frontend_push(bl_frontend *f, int16_t count,
                     bl_sample out[BL_FRONTEND_MAX])
{
    if (f->stage >= HOLDING)
        return BL_ERROR_ENDED;
    if (f->stage == EMPTY) { /* as if the first count had been held before */
        uint32_t i;

        for (i = 0; i < f->sensor->width; i++)
            f->ring[i] = count;
        f->stage = RUNNING;
    }
    f->count = count;
    return resample(f, count, out);
}

int bl_frontend_end(bl_frontend *f, bl_sample out[BL_FRONTEND_MAX])
{
    int ready = 0;

    if (f->stage == EMPTY)
        return BL_ERROR_EMPTY;
    if (f->stage == RUNNING) {
        f->stage = HOLDING;
        f->to_hold = (uint16_t)(f->sensor->width / 2 + DELAY);
    }
    while (f->to_hold > 0 && ready == 0) {
        f->to_hold--;
        ready = f->to_hold >= DELAY
                    ? resample(f, f->count, out)
                    : condition(f, f->y[f->newest], 0, 0, out);
    }
    if (ready == 0)
        f->stage = ENDED;
    return ready;
}
