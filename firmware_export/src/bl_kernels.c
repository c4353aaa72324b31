/* Portable kernels; see ../include/bl_kernels.h. */

#include "bl_kernels.h"

#define ADD_LEFT_SHIFT 20 /* head room ADD gives its inputs */

/* value >> shift, rounded down: C99 leaves the shift of a negative number to
 * the compiler. */
static int64_t shift_down(int64_t value, uint32_t shift)
{
    return value < 0 ? ~(~value >> shift) : value >> shift;
}

int32_t bl_multiply(int32_t x, bl_factor factor)
{
    uint32_t left = factor.shift > 0 ? (uint32_t)factor.shift : 0;
    uint32_t right = factor.shift < 0 ? (uint32_t)-factor.shift : 0;
    int64_t product = (int64_t)x * (INT64_C(1) << left) * factor.mantissa;
    int32_t high = (int32_t)shift_down(product + (INT64_C(1) << 30), 31);
    int32_t mask = (int32_t)((UINT32_C(1) << right) - 1), rest, down;

    /* Halves go away from zero. */
    down = (int32_t)shift_down(high, right);
    rest = (int32_t)((uint32_t)high & (uint32_t)mask);
    return down + (rest > (mask >> 1) + (high < 0));
}

static int8_t to_int8(int32_t value, const bl_layer *layer)
{
    value += layer->zero_point;
    return (int8_t)(value < layer->low ? layer->low
                    : value > 127      ? 127
                                       : value);
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

    if (layer->groups == 1)
        return dot(w, x, layer->kernel * inputs);
    x += o / (layer->channels / layer->groups) * width;
    for (t = 0; t < layer->kernel; t++)
        sum += dot(w + t * width, x + t * inputs, width);
    return sum;
}

void bl_convolve(const bl_layer *layer, uint32_t inputs, const int8_t *x,
                 uint32_t count, int8_t *out)
{
    uint32_t i, o;

    for (o = 0; o < layer->channels; o++)
        for (i = 0; i < count; i++) {
            const int8_t *window = x + i * layer->stride * inputs;
            int32_t sum = layer->bias[o] + window_sum(layer, inputs, o, window);

            out[i * layer->channels + o] =
                to_int8(bl_multiply(sum, layer->factors[o]), layer);
        }
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
