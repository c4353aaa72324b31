/* Shapes of beats; see ../include/bl_qrs_shapes.h. Constants as in
 * beatlens.signals.qrs_shapes. */

#include "bl_qrs_shapes.h"

#define LENGTH BL_QRS_SHAPE
#define SHAPES BL_QRS_SHAPES
#define SHIFTS BL_QRS_SHIFTS
#define COUNTED 16 /* that a beat adds to its shape's count */
#define SCALE 8    /* parts of a step in which shapes are remembered */

static int32_t add_products(const int16_t *one, const int16_t *other)
{
    int32_t sum = 0, i;

    for (i = 0; i < LENGTH; i++)
        sum += one[i] * other[i];
    return sum;
}

/* The shift at which a remembered shape has the largest covariance with what
 * is seen, if it is found there; else SHIFTS. Covariances are times LENGTH
 * squared, below 2^26. */
static uint32_t find_shape(const bl_qrs_shapes *s, const int16_t *seen,
                           uint32_t number)
{
    int16_t shape[LENGTH];
    int32_t shape_sum = 0, sum = 0, best_sum = 0, most = 0;
    uint32_t shift, best = SHIFTS, i;
    int64_t variances;

    for (i = 0; i < LENGTH; i++) {
        shape[i] = (int16_t)(s->shapes[number][i] >> 3);
        shape_sum += shape[i];
        sum += seen[i];
    }
    for (shift = 0; shift < SHIFTS; shift++) {
        int32_t found =
            LENGTH * add_products(seen + shift, shape) - sum * shape_sum;

        if (found > most) {
            most = found;
            best = shift;
            best_sum = sum;
        }
        if (shift + 1 < SHIFTS)
            sum += seen[shift + LENGTH] - seen[shift];
    }
    if (best == SHIFTS)
        return SHIFTS;
    variances = (int64_t)(LENGTH * add_products(seen + best, seen + best) -
                          best_sum * best_sum) *
                (LENGTH * add_products(shape, shape) - shape_sum * shape_sum);
    return 8 * ((int64_t)most * most) > 5 * variances ? best : SHIFTS;
}

uint32_t bl_qrs_resembles(const bl_qrs_shapes *s, const int16_t *seen)
{
    uint32_t known = 0, i;

    for (i = 0; i < SHAPES; i++)
        if (s->counts[i] > COUNTED) {
            known = 1;
            if (find_shape(s, seen, i) < SHIFTS)
                return 1;
        }
    return !known;
}

void bl_qrs_learn(bl_qrs_shapes *s, const int16_t *seen)
{
    uint32_t number = SHAPES, rarest = 0, shift = SHIFTS, i;

    for (i = 0; i < SHAPES && number == SHAPES; i++) {
        if (s->counts[i] > 0)
            shift = find_shape(s, seen, i);
        if (shift < SHIFTS)
            number = i;
        else if (s->counts[i] < s->counts[rarest])
            rarest = i;
    }
    if (number < SHAPES) {
        for (i = 0; i < LENGTH; i++) {
            int32_t moved = SCALE * seen[shift + i] - s->shapes[number][i];

            s->shapes[number][i] =
                (int16_t)(s->shapes[number][i] + (moved >> 3));
        }
    } else {
        number = rarest;
        for (i = 0; i < LENGTH; i++)
            s->shapes[number][i] = (int16_t)(SCALE * seen[SHIFTS / 2 + i]);
        s->counts[number] = 0;
    }
    for (i = 0; i < SHAPES; i++)
        s->counts[i] =
            (uint16_t)(s->counts[i] - (s->counts[i] >> 5));
    s->counts[number] = (uint16_t)(s->counts[number] + COUNTED);
}

void bl_qrs_forget_shapes(bl_qrs_shapes *s)
{
    uint32_t i;

    for (i = 0; i < SHAPES; i++)
        s->counts[i] = 0;
}
