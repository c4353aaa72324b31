/* Depthwise convolution, four channels at once; see ../include/bl_kernels.h. */

#include "bl_dsp.h"
#include "bl_kernels.h"

/* Constants of four channels. */
typedef struct {
    int32_t bias[4];
    bl_rescale rescale[4];
} constants;

/* A window; of four channels weights are halves: 0 and 2, then 1 and 3. */
static BL_APART void convolve_window(const bl_layer *l, const int8_t *x,
                                     int8_t *out)
{
    const constants *c = (const constants *)(const void *)l->constants;
    const uint32_t *w = l->weights;
    uint32_t channels = l->channels, taps = l->taps;
    const int8_t *end = out + channels;

    for (; out != end; out += 4, x += 4, c++) {
        int32_t s0 = c->bias[0], s1 = c->bias[1];
        int32_t s2 = c->bias[2], s3 = c->bias[3];
        const uint32_t *behind = w + 2 * taps;
        const int8_t *at = x;

        for (; w != behind; at += channels) {
            uint32_t values = bl_word(at), even, odd, half;

            w = bl_next_two(w, &even, &odd);
            half = bl_even(values);
            s0 = bl_low(even, half, s0);
            s2 = bl_high(even, half, s2);
            half = bl_odd(values);
            s1 = bl_low(odd, half, s1);
            s3 = bl_high(odd, half, s3);
        }
        out[0] = (int8_t)bl_rescaled(s0 * 2, c->rescale[0]);
        out[1] = (int8_t)bl_rescaled(s1 * 2, c->rescale[1]);
        out[2] = (int8_t)bl_rescaled(s2 * 2, c->rescale[2]);
        out[3] = (int8_t)bl_rescaled(s3 * 2, c->rescale[3]);
    }
}

void bl_convolve_taps(const bl_layer *l, const bl_job *job)
{
    uint32_t left;
    const int8_t *x = job->x;
    int8_t *out = job->out;

    for (left = job->count; left > 0; left--) {
        convolve_window(l, x, out);
        x += (uint32_t)l->stride * l->channels;
        out += l->channels;
    }
}
