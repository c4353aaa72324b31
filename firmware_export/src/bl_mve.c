/* Convolutions with vectors; see ../include/bl_kernels.h. */

#include "bl_kernels.h"
#include "bl_scale.h"

#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#include <arm_mve.h>
#define BL_HAS_MVE 1
#endif

/* Constants of four channels. */
typedef struct {
    int32_t bias[4];
    int32_t mantissa[4];
    int32_t shift[4]; /* to the left, none is above 0 */
} constants;

static const constants *read_constants(const bl_layer *l)
{
    return (const constants *)(const void *)l->constants;
}

#ifdef BL_HAS_MVE

/*
 * Sums of three channels, `count` weights of each at `w`, in the windows at x
 * and y. In assembly: compilers do not make loops with a predicated tail.
 */
static inline void three_by_two(const int8_t *w, const int8_t *x,
                                const int8_t *y, uint32_t count,
                                int32_t *x_sums, int32_t *y_sums)
{
    const int8_t *v = w + count, *u = v + count;
    int32_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;

    __asm__ volatile(
        "wlstp.8 lr, %[count], 2f\n\t"
        "1:\n\t"
        "vldrb.8 q0, [%[x]], #16\n\t"
        "vldrb.8 q2, [%[w]], #16\n\t"
        "vmladava.s8 %[a], q0, q2\n\t"
        "vldrb.8 q1, [%[y]], #16\n\t"
        "vmladava.s8 %[d], q1, q2\n\t"
        "vldrb.8 q3, [%[v]], #16\n\t"
        "vmladava.s8 %[b], q0, q3\n\t"
        "vmladava.s8 %[e], q1, q3\n\t"
        "vldrb.8 q2, [%[u]], #16\n\t"
        "vmladava.s8 %[c], q0, q2\n\t"
        "vmladava.s8 %[f], q1, q2\n\t"
        "letp lr, 1b\n\t"
        "2:\n\t"
        : [a] "+Te"(a), [b] "+Te"(b), [c] "+Te"(c), [d] "+Te"(d), [e] "+Te"(e),
          [f] "+Te"(f), [w] "+r"(w), [v] "+r"(v), [u] "+r"(u), [x] "+r"(x),
          [y] "+r"(y)
        : [count] "r"(count)
        : "lr", "q0", "q1", "q2", "q3", "memory");
    x_sums[0] = a;
    x_sums[1] = b;
    x_sums[2] = c;
    y_sums[0] = d;
    y_sums[1] = e;
    y_sums[2] = f;
}

/* Rounds twice, halves away from zero, as bl_multiply. */
static void rescale(const bl_layer *l, const int32_t *sums, int8_t *out)
{
    const constants *c = read_constants(l);
    uint32_t left = l->channels;

    for (;; left -= 4, sums += 4, out += 4, c++) {
        int32x4_t shift = vldrwq_s32(c->shift);
        int32x4_t sum = vaddq_s32(vldrwq_s32(sums), vldrwq_s32(c->bias));

        sum = vqrdmulhq_s32(sum, vldrwq_s32(c->mantissa));
        sum = vaddq_s32(sum, vshrq_n_s32(vandq_s32(sum, shift), 31));
        sum = vaddq_n_s32(vrshlq_s32(sum, shift), l->zero_point);
        sum = vmaxq_s32(sum, vdupq_n_s32(l->low));
        sum = vminq_s32(sum, vdupq_n_s32(127));
        if (left <= 4) {
            vstrbq_p_s32(out, sum, vctp32q(left));
            return;
        }
        vstrbq_s32(out, sum);
    }
}

/* Sums of four channels over the taps, from `channel` on. */
static void depthwise_sums(const bl_layer *l, const int8_t *x, uint32_t channel,
                           int32_t *sums)
{
    const int8_t *w = (const int8_t *)l->weights + channel;
    uint32_t channels = l->channels, t;
    mve_pred16_t some = vctp32q(channels - channel);
    int32x4_t sum = vdupq_n_s32(0);

    x += channel;
    for (t = l->taps; t > 0; t--, x += channels, w += channels)
        sum = vaddq_s32(sum, vmulq_s32(vldrbq_z_s32(x, some),
                                       vldrbq_z_s32(w, some)));
    vstrwq_s32(sums, sum);
}

#else

static int32_t dot(const int8_t *w, const int8_t *x, uint32_t count)
{
    int32_t sum = 0;

    while (count-- > 0)
        sum += (int32_t)*w++ * *x++;
    return sum;
}

static void three_by_two(const int8_t *w, const int8_t *x, const int8_t *y,
                         uint32_t count, int32_t *x_sums, int32_t *y_sums)
{
    uint32_t i;

    for (i = 0; i < 3; i++, w += count) {
        x_sums[i] = dot(w, x, count);
        y_sums[i] = dot(w, y, count);
    }
}

static void rescale(const bl_layer *l, const int32_t *sums, int8_t *out)
{
    uint32_t i;

    for (i = 0; i < l->channels; i++) {
        const constants *c = read_constants(l) + i / 4;
        bl_factor factor;

        factor.mantissa = c->mantissa[i % 4];
        factor.shift = (int8_t)c->shift[i % 4];
        out[i] = bl_to_int8(bl_multiply(sums[i] + c->bias[i % 4], factor), l);
    }
}

static void depthwise_sums(const bl_layer *l, const int8_t *x, uint32_t channel,
                           int32_t *sums)
{
    uint32_t i, t;

    for (i = 0; i < 4; i++)
        for (sums[i] = 0, t = 0;
             channel + i < l->channels && t < l->taps; t++) {
            uint32_t at = t * l->channels + channel + i;

            sums[i] += (int32_t)((const int8_t *)l->weights)[at] * x[at];
        }
}

#endif

/* Sums of all channels, a multiple of three with those that are made up. */
static void two_windows(const bl_layer *l, const int8_t *x, const int8_t *y,
                        int32_t *x_sums, int32_t *y_sums)
{
    uint32_t count = (uint32_t)l->taps * l->inputs, o;
    const int8_t *w = l->weights;

    for (o = 0; o < l->channels; o += 3, w += 3 * count)
        three_by_two(w, x, y, count, x_sums + o, y_sums + o);
}

void bl_convolve_vectors(const bl_layer *l, const bl_job *job)
{
    uint32_t step = (uint32_t)l->stride * l->inputs, left;
    int32_t *x_sums = (int32_t *)job->scratch;
    int32_t *y_sums = x_sums + BL_VECTORS_SCRATCH(l->channels) / 8;
    const int8_t *x = job->x;
    int8_t *out = job->out;

    for (left = job->count; left > 1; left -= 2, x += 2 * step) {
        two_windows(l, x, x + step, x_sums, y_sums);
        rescale(l, x_sums, out);
        rescale(l, y_sums, out + l->channels);
        out += 2 * l->channels;
    }
    if (left > 0) {
        two_windows(l, x, x, x_sums, y_sums);
        rescale(l, x_sums, out);
    }
}

void bl_convolve_channels(const bl_layer *l, const bl_job *job)
{
    uint32_t step = (uint32_t)l->stride * l->channels, left, c;
    int32_t *sums = (int32_t *)job->scratch;
    const int8_t *x = job->x;
    int8_t *out = job->out;

    for (left = job->count; left > 0; left--, x += step, out += l->channels) {
        for (c = 0; c < l->channels; c += 4)
            depthwise_sums(l, x, c, sums + c);
        rescale(l, sums, out);
    }
}
