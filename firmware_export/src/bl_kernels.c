/* Portable kernels; see ../include/bl_kernels.h. */

#include "bl_kernels.h"

#include "bl_scale.h"

#define ADD_LEFT_SHIFT 20 /* head room ADD gives its inputs */

static void put(const bl_layer *layer, uint32_t o, int32_t sum, int8_t *out)
{
    sum = bl_multiply(layer->constants[o] + sum, layer->factors[o]);
    out[o] = bl_to_int8(sum, layer);
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
static int32_t sum_window(const bl_layer *layer, uint32_t o, const int8_t *x)
{
    uint32_t width = (uint32_t)layer->inputs / layer->groups, t;
    const int8_t *w = (const int8_t *)layer->weights + o * layer->taps * width;
    int32_t sum = 0;

    x += o / (layer->channels / layer->groups) * width;
    for (t = 0; t < layer->taps; t++)
        sum += dot(w + t * width, x + t * layer->inputs, width);
    return sum;
}

/*
 * Four windows at once, `step` values apart, each `count` values that lie one
 * behind the other: a weight is loaded once for four products.
 */
static void convolve_four(const bl_layer *layer, const int8_t *x, uint32_t step,
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

void bl_convolve_rows(const bl_layer *layer, const bl_job *job)
{
    uint32_t step = (uint32_t)layer->stride * layer->inputs, count, o;
    const int8_t *x = job->x;
    int8_t *out = job->out;

    for (count = job->count; layer->groups == 1 && count >= 4; count -= 4) {
        convolve_four(layer, x, step, (uint32_t)layer->taps * layer->inputs,
                     out);
        x += 4 * step;
        out += 4 * layer->channels;
    }
    for (; count > 0; count--, x += step, out += layer->channels)
        for (o = 0; o < layer->channels; o++)
            put(layer, o, sum_window(layer, o, x), out);
}

void bl_add(const bl_layer *layer, const bl_job *job)
{
    const bl_factor *factors = layer->factors;
    uint32_t values = job->count * layer->channels, i;

    for (i = 0; i < values; i++) {
        int32_t a = job->x[i] - layer->constants[0];
        int32_t b = job->other[i] - layer->constants[1];
        int32_t sum =
            bl_multiply(a * (INT32_C(1) << ADD_LEFT_SHIFT), factors[0]) +
            bl_multiply(b * (INT32_C(1) << ADD_LEFT_SHIFT), factors[1]);

        job->out[i] = bl_to_int8(bl_multiply(sum, factors[2]), layer);
    }
}

void bl_permute(const bl_layer *layer, const bl_job *job)
{
    const int8_t *x = job->x;
    int8_t *out = job->out;
    uint32_t count, c;

    for (count = job->count; count > 0; count--, x += layer->channels)
        for (c = 0; c < layer->channels; c++)
            *out++ = x[layer->constants[c]];
}
