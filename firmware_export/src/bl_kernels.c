/* Portable kernels; see ../include/bl_kernels.h. */

#include "bl_kernels.h"

#define ADD_LEFT_SHIFT 20 /* head room ADD gives its inputs */

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down, as every compiler for these cores does. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

int32_t bl_multiply(int32_t x, bl_factor factor)
{
    uint32_t left = factor.shift > 0 ? (uint32_t)factor.shift : 0;
    uint32_t right = factor.shift < 0 ? (uint32_t)-factor.shift : 0;
    int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * factor.mantissa;
    int32_t high = (int32_t)((product + (INT64_C(1) << 30)) >> 31);
    int32_t mask = (int32_t)((UINT32_C(1) << right) - 1);
    int32_t rest = high & mask;

    /* Halves go away from zero. */
    return (high >> right) + (rest > (mask >> 1) + (high < 0));
}

static int8_t to_int8(int32_t value, const bl_layer *layer)
{
    value += layer->zero_point;
    return (int8_t)(value < layer->low ? layer->low
                    : value > 127      ? 127
                                       : value);
}

static void put(const bl_layer *layer, uint32_t o, int32_t sum, int8_t *out)
{
    sum = bl_multiply(layer->bias[o] + sum, layer->factors[o]);
    out[o] = to_int8(sum, layer);
}

static int32_t dot(const int8_t *w, const int8_t *x, uint32_t count)
{
    int32_t sum = 0;
    uint32_t i;

    for (i = 0; i < count; i++)
        sum += (int32_t)w[i] * x[i];
    return sum;
}

/* The sum of output channel `o` over the window at `x`, without bias. */
static int32_t window_sum(const bl_layer *layer, uint32_t inputs, uint32_t o,
                          const int8_t *x)
{
    uint32_t width = inputs / layer->groups, t;
    const int8_t *w = layer->weights + o * layer->kernel * width;
    int32_t sum = 0;

    x += o / (layer->channels / layer->groups) * width;
    for (t = 0; t < layer->kernel; t++)
        sum += dot(w + t * width, x + t * inputs, width);
    return sum;
}

/*
 * Four windows at once, `step` values apart, each `count` values that lie one
 * behind the other: a weight is loaded once for four products.
 */
static void four_columns(const bl_layer *layer, const int8_t *x, uint32_t step,
                         uint32_t count, int8_t *out)
{
    const int8_t *w = layer->weights;
    uint32_t o, i;

    for (o = 0; o < layer->channels; o++, w += count) {
        int32_t a = 0, b = 0, c = 0, d = 0;
        const int8_t *at = x;

        for (i = 0; i < count; i++, at++) {
            int32_t weight = w[i];

            a += weight * at[0];
            b += weight * at[step];
            c += weight * at[2 * step];
            d += weight * at[3 * step];
        }
        put(layer, o, a, out);
        put(layer, o, b, out + layer->channels);
        put(layer, o, c, out + 2 * layer->channels);
        put(layer, o, d, out + 3 * layer->channels);
    }
}

void bl_convolve(const bl_layer *layer, uint32_t inputs, const int8_t *x,
                 uint32_t count, int8_t *out)
{
    uint32_t step = layer->stride * inputs, o;

    for (; layer->groups == 1 && count >= 4; count -= 4) {
        four_columns(layer, x, step, layer->kernel * inputs, out);
        x += 4 * step;
        out += 4 * layer->channels;
    }
    for (; count > 0; count--, x += step, out += layer->channels)
        for (o = 0; o < layer->channels; o++)
            put(layer, o, window_sum(layer, inputs, o, x), out);
}

void bl_add(const bl_layer *layer, const int8_t *a, int8_t a_zero,
            const int8_t *b, int8_t b_zero, uint32_t count, int8_t *out)
{
    const bl_factor *factors = layer->factors;
    uint32_t i;

    for (i = 0; i < count; i++) {
        int32_t left = (a[i] - a_zero) * (INT32_C(1) << ADD_LEFT_SHIFT);
        int32_t right = (b[i] - b_zero) * (INT32_C(1) << ADD_LEFT_SHIFT);
        int32_t sum = bl_multiply(left, factors[0]) +
                      bl_multiply(right, factors[1]);

        out[i] = to_int8(bl_multiply(sum, factors[2]), layer);
    }
}

void bl_permute(const bl_layer *layer, const int8_t *x, uint32_t count,
                int8_t *out)
{
    uint32_t c;

    for (; count > 0; count--, x += layer->channels)
        for (c = 0; c < layer->channels; c++)
            *out++ = x[layer->bias[c]];
}
