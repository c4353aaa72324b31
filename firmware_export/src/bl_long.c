/*
 * Convolution with four products per instruction; see ../include/bl_kernels.h.
 *
 * Columns as wide as a stride make every layer one of stride 1. Two of them
 * in a word, x0 + x1 * 2^21, by two taps, w1 + w0 * 2^21, are
 *
 *     w1 x0  +  (w0 x0 + w1 x1) * 2^21  +  w0 x1 * 2^42
 *
 * and a long multiplication adds that to three sums in 64 bits. Over all pairs
 * of taps of a window the middle one is the window's sum. The lowest is what
 * odd taps make of the window before, the highest what even taps make of the
 * one behind: sums of windows 0, 2 and 4 hold those of 1 and 3. The generator
 * proves that none of them leaves its bits, and cuts windows into parts, some
 * of the inputs, where they would.
 */
#include "bl_dsp.h"
#include "bl_kernels.h"

#define BITS 21
#define AT_ONCE 5 /* windows whose sums three long sums hold */

/* First constants of a layer. */
typedef struct {
    int32_t inputs;   /* inputs of a part */
    int32_t channels; /* channels of a block: their sums are kept while parts
                         are added */
} sizes;

/* Constants of a channel. */
typedef struct {
    int32_t first; /* bias, less 2^20 for each part: see ABOVE_ZERO */
    bl_rescale rescale;
} constants;

/* A part of five windows for the channels of a block. */
typedef struct {
    const uint32_t *weights; /* [channels][words] */
    uint32_t bytes;          /* of a channel's weights, a multiple of 8 */
    const uint32_t *x;       /* [words][3], values of windows 0, 2 and 4 */
    int32_t *sums;           /* [channels][AT_ONCE], that are added to */
    int32_t *end;            /* end of the sums */
} products;

/* What all windows of a layer have in common. */
typedef struct {
    uint32_t width; /* values of a column as wide as a stride */
    uint32_t pairs; /* pairs of taps of a window */
    uint32_t used;  /* values of such a column that have weights */
    const bl_layer *layer;
    const constants *c;
    uint32_t part;  /* inputs of a part */
    uint32_t block; /* channels of a block */
} shape;

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Words of weights of so many inputs, an even number. */
static uint32_t count_words(const shape *s, uint32_t inputs)
{
    uint32_t words = inputs * s->pairs;

    return words + (words & 1);
}

/* Products, and what they are made of */

#ifdef __thumb2__

#include "bl_long_asm.h"

#else

/* Keeps the lower two of three sums from going below zero. */
#define ABOVE_ZERO \
    ((UINT64_C(1) << (BITS - 1)) + (UINT64_C(1) << (2 * BITS - 1)))

static void begin(uint64_t *sums)
{
    sums[0] = sums[1] = sums[2] = ABOVE_ZERO;
}

static int32_t low(uint64_t sums)
{
    return (int32_t)(sums & ((1 << BITS) - 1));
}

static int32_t middle(uint64_t sums)
{
    return low(sums >> BITS);
}

static int32_t high(uint64_t sums)
{
    return (int32_t)((int64_t)sums >> (2 * BITS));
}

static void add_products(const products *p)
{
    const uint32_t *weights = p->weights;
    int32_t *sums;

    for (sums = p->sums; sums != p->end; sums += AT_ONCE) {
        const uint32_t *x = p->x, *end = weights + p->bytes / 4;
        uint64_t now[3];
        uint32_t i;

        begin(now);
        for (; weights != end; weights++)
            for (i = 0; i < 3; i++, x++)
                now[i] += (uint64_t)((int64_t)(int32_t)*weights * (int32_t)*x);
        sums[0] += middle(now[0]);
        sums[1] += high(now[0]) + low(now[1]);
        sums[2] += middle(now[1]);
        sums[3] += high(now[1]) + low(now[2]);
        sums[4] += middle(now[2]);
    }
}

/* Values of an input in two columns, as a word. */
static uint32_t join_two(const int8_t *x, uint32_t width)
{
    return (uint32_t)(int32_t)x[0] +
           ((uint32_t)(int32_t)x[width] << BITS);
}

/* Places values of a part of windows 0, 2 and 4, for each pair of taps. */
static void place_values(const shape *s, const int8_t *x, uint32_t inputs,
                         uint32_t *to)
{
    const uint32_t width = s->width, step = 2 * width, pairs = s->pairs;
    const int8_t *end = x + inputs;

    for (; x != end; x++) {
        const int8_t *at = x + 2 * step;
        uint32_t a = join_two(x, width), b = join_two(x + step, width);
        uint32_t i = pairs;

        do {
            uint32_t c = join_two(at, width);

            bl_two_words(to, a, b);
            to[2] = c;
            to += 3;
            at += step;
            a = b;
            b = c;
        } while (--i > 0);
    }
    to[0] = to[1] = to[2] = 0; /* where words are filled up to be even */
}

#endif

/* Windows */

static BL_APART void begin_sums(const constants *c, uint32_t channels,
                                int32_t *to)
{
    for (; channels > 0; channels--, c++, to += AT_ONCE)
        to[0] = to[1] = to[2] = to[3] = to[4] = c->first;
}

/* Writes the sums of `count` windows as int8. */
static BL_APART void finish(const shape *s, const constants *c,
                            uint32_t channels, const int32_t *sums,
                            uint32_t count, int8_t *out)
{
    uint32_t step = s->layer->channels, i;

    for (; channels > 0; channels--, c++, sums += AT_ONCE, out++) {
        bl_rescale by = c->rescale;

        if (count == AT_ONCE) {
            out[0] = (int8_t)bl_rescaled(sums[0] * 2, by);
            out[step] = (int8_t)bl_rescaled(sums[1] * 2, by);
            out[2 * step] = (int8_t)bl_rescaled(sums[2] * 2, by);
            out[3 * step] = (int8_t)bl_rescaled(sums[3] * 2, by);
            out[4 * step] = (int8_t)bl_rescaled(sums[4] * 2, by);
        } else {
            for (i = 0; i < count; i++)
                out[i * step] = (int8_t)bl_rescaled(sums[i] * 2, by);
        }
    }
}

/* Convolves `count` windows, 1 to 5. */
static void convolve_five(const shape *s, const bl_job *job, const int8_t *x,
                 uint32_t count, int8_t *out)
{
    uint32_t *values = job->scratch + AT_ONCE * s->block;
    uint32_t done, from, now, channels;
    products p;

    p.weights = s->layer->weights;
    p.x = values;
    p.sums = (int32_t *)job->scratch;
    for (done = 0; done < s->layer->channels; done += channels) {
        channels = smaller(s->block, s->layer->channels - done);
        p.end = p.sums + AT_ONCE * channels;
        begin_sums(s->c + done, channels, p.sums);
        for (from = 0; from < s->used; from += now) {
            now = smaller(s->part, s->used - from);
            if (done == 0 || now < s->used) /* else they are placed */
                place_values(s, x + from, now, values);
            p.bytes = 4 * count_words(s, now);
            add_products(&p);
            p.weights += channels * p.bytes / 4;
        }
        finish(s, s->c + done, channels, p.sums, count, out + done);
    }
}

void bl_convolve_long(const bl_layer *l, const bl_job *job)
{
    const sizes *of = (const sizes *)l->constants;
    uint32_t count = job->count, now;
    const int8_t *x = job->x;
    int8_t *out = job->out;
    shape s;

    s.layer = l;
    s.c = (const constants *)(const void *)(of + 1);
    s.width = (uint32_t)l->stride * l->inputs;
    s.used = smaller(s.width, (uint32_t)l->taps * l->inputs);
    s.pairs = (l->taps + 2u * l->stride - 1) / (2u * l->stride);
    s.part = (uint32_t)of->inputs;
    s.block = (uint32_t)of->channels;
    for (; count > 0; count -= now) {
        now = smaller(count, AT_ONCE);
        convolve_five(&s, job, x, now, out);
        x += now * s.width;
        out += now * l->channels;
    }
}
