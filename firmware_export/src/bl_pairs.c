/*
 * Convolution with two products per instruction; see ../include/bl_kernels.h.
 *
 * Four windows at once. Their values are gathered as pairs of 16 bit, so that
 * a word holds two values of a window, and one SMLAD multiplies them by two
 * weights. A half of a word of weights is a + 256 * b, weights of two
 * channels: SMLAD by it gives A + 256 * B, and by its low bytes alone A, so
 * that two channels take one word and one instruction to unpack it. The
 * generator proves that 256 * B stays in 32 bits and a half in 16.
 */
#include "bl_dsp.h"
#include "bl_kernels.h"

#define PART_QUADS (BL_PAIRS_PART / 4)

/* Constants of a pair of channels; assembly does not name its members. */
typedef struct {
    /* cppcheck-suppress unusedStructMember */
    int32_t first; /* bias of the first channel */
    /* cppcheck-suppress unusedStructMember */
    int32_t both; /* that and 256 times the bias of the second channel */
    /* cppcheck-suppress unusedStructMember */
    bl_rescale rescale[2];
} constants;

/* Sums of a pair of channels in four windows: A, and A + 256 * B. */
typedef struct {
    int32_t of[4][2];
} sums;

/* What all windows of a group have in common. */
typedef struct {
    const bl_layer *layer;
    uint32_t *scratch;
    const constants *c;
    const uint32_t *weights;
    uint32_t channels;  /* output channels of the group */
    uint32_t row_quads; /* quads of a row: the last one may go beyond it */
    uint32_t quads;     /* quads of a window */
    uint32_t step;      /* values from a window to the next one */
    uint32_t count;     /* windows, 1 to 4 */
} shape;

/* Four windows that are being gathered. */
typedef struct {
    const int8_t *x; /* next value of the first window */
    uint32_t quads;  /* quads that are left in this row */
} windows;

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Products */

/* A part of four windows by pairs of channels; moved on pair by pair. */
typedef struct {
    const uint32_t *weights;
    uint32_t words; /* words of weights of a pair */
    const uint32_t *x;
    const constants *c;
    int8_t *out;    /* results of the first window */
    uint32_t step;  /* values from there to the next window's results */
    uint32_t skip;  /* words of weights from a pair's end to the next pair */
    uint32_t pairs; /* pairs of channels that are left */
    const sums *from; /* sums so far; null: begin with the biases */
    sums *to;         /* where sums go; null: to `out`, as int8 */
    uint32_t relu;    /* 1: values below the zero point become the zero point */
} products;

#ifdef BL_HAS_DSP

#include "bl_pairs_asm.h"

#else

static int32_t both(uint32_t a, uint32_t b, int32_t sum)
{
    return bl_high(a, b, bl_low(a, b, sum));
}

static void begin(const constants *c, sums *to)
{
    uint32_t w;

    for (w = 0; w < 4; w++) {
        to->of[w][0] = c->first;
        to->of[w][1] = c->both;
    }
}

static void finish(const products *p, const sums *from)
{
    uint32_t w;

    for (w = 0; w < 4; w++) {
        int32_t a = from->of[w][0];
        /* 2 * B: the lowest byte of the difference is 0. */
        uint32_t difference = (uint32_t)from->of[w][1] - (uint32_t)a;

        p->out[w * p->step] = (int8_t)bl_rescaled(a * 2, p->c->rescale[0]);
        p->out[w * p->step + 1] = (int8_t)bl_rescaled(
            (int32_t)difference >> 7, p->c->rescale[1]);
    }
}

static void multiply(products *p)
{
    for (; p->pairs > 0; p->pairs--, p->c++, p->out += 2) {
        const uint32_t *x = p->x, *end = p->weights + p->words;
        sums now;
        uint32_t w;

        if (p->from)
            now = *p->from++;
        else
            begin(p->c, &now);
        for (; p->weights != end; p->weights++)
            for (w = 0; w < 4; w++, x++) {
                now.of[w][0] = both(bl_even(*p->weights), *x, now.of[w][0]);
                now.of[w][1] = both(*p->weights, *x, now.of[w][1]);
            }
        p->weights += p->skip;
        if (p->to)
            *p->to++ = now;
        else
            finish(p, &now);
    }
}

#endif

/* Windows */

/*
 * Values of four windows as pairs: 0 and 2 of each window, then 1 and 3. Where
 * there are fewer windows the last one comes again.
 */
static BL_APART uint32_t *gather_row(const shape *s, const int8_t *a,
                                     uint32_t quads, uint32_t *to)
{
    const int8_t *b = s->count > 1 ? a + s->step : a;
    const int8_t *c = s->count > 2 ? b + s->step : b;
    const int8_t *d = s->count > 3 ? c + s->step : c;
    uint32_t *end = to + 8 * quads;

    for (; to != end; to += 8, a += 4, b += 4, c += 4, d += 4) {
        uint32_t p = bl_word(a), q = bl_word(b);

        bl_two_words(to, bl_even(p), bl_even(q));
        bl_two_words(to + 4, bl_odd(p), bl_odd(q));
        p = bl_word(c);
        q = bl_word(d);
        bl_two_words(to + 2, bl_even(p), bl_even(q));
        bl_two_words(to + 6, bl_odd(p), bl_odd(q));
    }
    return to;
}

static void gather(const shape *s, windows *w, uint32_t quads, uint32_t *to)
{
    uint32_t now;

    if (quads == w->quads && s->row_quads == s->quads) { /* all in one row */
        gather_row(s, w->x, quads, to);
        return;
    }
    for (; quads > 0; quads -= now) {
        now = smaller(quads, w->quads);
        to = gather_row(s, w->x, now, to);
        w->x += 4 * now;
        w->quads -= now;
        if (w->quads == 0) {
            w->quads = s->row_quads;
            w->x += (int32_t)(s->layer->inputs - 4 * s->row_quads);
        }
    }
}

/* Channels */

/* Whether values below the zero point become the zero point: it is the smallest
 * int8. */
static uint32_t cuts_off(const bl_layer *l)
{
    return l->zero_point == -128;
}

/* Prepares products of whole windows by all channels of a group. */
static void prepare(const shape *s, products *p, int8_t *out)
{
    p->weights = s->weights;
    p->words = 2 * s->quads;
    p->x = s->scratch;
    p->c = s->c;
    p->out = out;
    p->step = s->layer->channels;
    p->skip = 0;
    p->pairs = (s->channels + 1) / 2;
    p->from = 0;
    p->to = 0;
    p->relu = cuts_off(s->layer);
}

/*
 * Whole fours of windows, each one row that is gathered at once, by an even
 * number of channels. Returns how many windows were made.
 */
static BL_APART uint32_t convolve_fours(shape *s, const int8_t *x,
                                        uint32_t count, int8_t *out)
{
    uint32_t done;
    products p;

    s->count = 4;
    prepare(s, &p, out);
    for (done = 0; count - done >= 4; done += 4) {
        gather_row(s, x, s->quads, s->scratch);
        p.weights = s->weights;
        p.c = s->c;
        p.pairs = s->channels / 2;
        p.out = out;
        multiply(&p);
        x += 4 * s->step;
        out += 4 * p.step;
    }
    return done;
}

/* Pairs of channels by windows that are gathered part by part. */
static BL_APART void convolve_in_parts(const shape *s, const windows *from,
                                       const products *whole)
{
    sums *waiting = (sums *)s->scratch;
    uint32_t *x = (uint32_t *)(waiting + BL_PAIRS_BLOCK), done, quads;
    windows w = *from;

    for (done = 0; done < s->quads; done += quads) {
        products p = *whole;

        quads = smaller(s->quads - done, PART_QUADS);
        p.weights += 2 * done;
        p.words = 2 * quads;
        p.skip = 2 * (s->quads - quads);
        p.x = x;
        p.from = done > 0 ? waiting : 0;
        p.to = done + quads < s->quads ? waiting : 0;
        gather(s, &w, quads, x);
        multiply(&p);
    }
}

/* Copies results that were made apart: of fewer than four windows, or of an odd
 * number of channels. */
static BL_APART void copy_out(const shape *s, const int8_t *from,
                              uint32_t step, uint32_t channels, int8_t *out)
{
    uint32_t w, i;

    for (w = 0; w < s->count; w++, from += step, out += s->layer->channels)
        for (i = 0; i < channels; i++)
            out[i] = from[i];
}

/* Up to four windows of any kind, by a block of channels at a time. */
static BL_APART void convolve_blocks(const shape *s, const windows *w,
                                     int8_t *out)
{
    int8_t apart[4 * 2 * BL_PAIRS_BLOCK];
    uint32_t done, now;

    for (done = 0; done < s->channels; done += now) {
        uint32_t direct;
        windows from = *w;
        products p;

        now = smaller(s->channels - done, 2 * BL_PAIRS_BLOCK);
        direct = s->count == 4 && now % 2 == 0;
        prepare(s, &p, out + done);
        p.weights += s->quads * done;
        p.c += done / 2;
        p.pairs = (now + 1) / 2;
        if (!direct) {
            p.out = apart;
            p.step = 2 * p.pairs;
        }
        if (s->quads <= PART_QUADS) {
            gather(s, &from, s->quads, s->scratch);
            multiply(&p);
        } else {
            convolve_in_parts(s, &from, &p);
        }
        if (!direct)
            copy_out(s, apart, 2 * ((now + 1) / 2), now, out + done);
    }
}

static void convolve_group(shape *s, const int8_t *x, uint32_t count,
                           int8_t *out)
{
    uint32_t done = 0;
    windows w;

    if (s->quads <= PART_QUADS && s->quads == s->row_quads &&
        s->channels % 2 == 0)
        done = convolve_fours(s, x, count, out);
    for (; done < count; done += s->count) {
        s->count = smaller(count - done, 4);
        w.x = x + done * s->step;
        w.quads = s->row_quads;
        convolve_blocks(s, &w, out + done * s->layer->channels);
    }
}

void bl_convolve_pairs(const bl_layer *l, const bl_job *job)
{
    uint32_t width = l->inputs, rows = l->taps, i;
    shape s;

    s.layer = l;
    s.scratch = job->scratch;
    s.c = (const constants *)(const void *)l->constants;
    s.weights = l->weights;
    s.channels = l->channels;
    s.step = (uint32_t)l->stride * l->inputs;
    if (l->groups == 1) { /* a window is one row */
        width *= rows;
        rows = 1;
    } else {
        width /= l->groups;
        s.channels /= l->groups;
    }
    s.row_quads = (width + 3) / 4;
    s.quads = rows * s.row_quads;
    for (i = 0; i < l->groups; i++) {
        convolve_group(&s, job->x + i * width, job->count,
                       job->out + i * s.channels);
        s.c += (s.channels + 1) / 2;
        s.weights += 2 * s.quads * ((s.channels + 1) / 2);
    }
}
