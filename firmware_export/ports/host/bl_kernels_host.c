/*
 * Kernels for computers: those of ../../src/bl_kernels.c with the vectors of
 * GCC and clang, a lane per output channel. Same bits: sums are exact, and
 * model files are made such that none leaves 32 bits.
 *
 * Where the processor can, a lane takes two or four values of a window at
 * once. Compilers without vectors, and processors whose vectors do not multiply
 * 32 bits, get the portable kernels.
 */
#if !defined(__GNUC__) || (defined(__x86_64__) && !defined(__SSE4_1__))
#include "../../src/bl_kernels.c"
#else

#include <string.h>

#include "bl_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef int8_t bytes __attribute__((vector_size(LANES)));

#define COLUMNS 8          /* output columns worked on at once */
#define MAX_WINDOW 2048   /* values of a window; longer ones go one by one */
#define MAX_VALUES 16384  /* values that those columns see */
#define ADD_LEFT_SHIFT 20  /* head room ADD gives its inputs */

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

/* Multiplying; `TOGETHER` values of a window, lying side by side, per lane */

#if defined(__AVX512VNNI__) && defined(__AVX512F__)

#define TOGETHER 4
#define OFFSET 128 /* of values: the instruction takes them without a sign */
typedef uint8_t value;
typedef int8_t weight;

static lanes multiply_add(lanes sum, const value *x, lanes w)
{
    int32_t four;

    memcpy(&four, x, sizeof four);
    return (lanes)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four),
                                      (__m512i)w);
}

#elif defined(__AVX2__)

#define TOGETHER 2
#define OFFSET 0
typedef int16_t value;
typedef int16_t weight;

static lanes multiply_add(lanes sum, const value *x, lanes w)
{
    int32_t two;

    memcpy(&two, x, sizeof two);
    return sum + (lanes)_mm256_madd_epi16(_mm256_set1_epi32(two), (__m256i)w);
}

#else

#define TOGETHER 1
#define OFFSET 0
typedef int32_t value;
typedef int32_t weight;

static lanes multiply_add(lanes sum, const value *x, lanes w)
{
    return sum + *x * w;
}

#endif

/* (x * m + 2^30) / 2^31, rounded down; it fits 32 bits. */
static lanes high_product(lanes x, lanes m)
{
#if defined(__AVX2__)
    typedef uint64_t pairs __attribute__((vector_size(4 * LANES)));
    const pairs half = (pairs){0} + (UINT64_C(1) << 30);
    const pairs low = (pairs){0} + UINT32_MAX;
    pairs even, odd;

#if LANES == 16
    even = (pairs)_mm512_mul_epi32((__m512i)x, (__m512i)m);
    odd = (pairs)_mm512_mul_epi32((__m512i)((pairs)x >> 32),
                                  (__m512i)((pairs)m >> 32));
#else
    even = (pairs)_mm256_mul_epi32((__m256i)x, (__m256i)m);
    odd = (pairs)_mm256_mul_epi32((__m256i)((pairs)x >> 32),
                                  (__m256i)((pairs)m >> 32));
#endif
    return (lanes)(((even + half) >> 31 & low) | ((odd + half) << 1 & ~low));
#else
    lanes high;
    uint32_t i;

    for (i = 0; i < LANES; i++)
        high[i] = (int32_t)(((int64_t)x[i] * m[i] + (INT64_C(1) << 30)) >> 31);
    return high;
#endif
}

/* Rounding */

/* Factors of LANES channels. */
typedef struct {
    lanes mantissa;
    lanes left;
    lanes right;
} factors;

static void take_factor(factors *f, uint32_t lane, bl_factor from)
{
    f->mantissa[lane] = from.mantissa;
    f->left[lane] = from.shift > 0 ? from.shift : 0;
    f->right[lane] = from.shift < 0 ? -from.shift : 0;
}

static factors same_factor(bl_factor from)
{
    factors f;
    uint32_t i;

    for (i = 0; i < LANES; i++)
        take_factor(&f, i, from);
    return f;
}

static lanes rescale(lanes x, const factors *f)
{
    const lanes one = (lanes){0} + 1;
    lanes high = high_product((lanes)((bits)x << (bits)f->left), f->mantissa);
    lanes mask = (one << f->right) - 1;

    /* Halves go away from zero; a comparison gives -1 where it holds. */
    return (high >> f->right) -
           ((high & mask) > (mask >> 1) - (high < 0));
}

static lanes larger(lanes a, lanes b)
{
    lanes of_a = a > b;

    return (a & of_a) | (b & ~of_a);
}

static bytes to_int8(lanes x, const bl_layer *layer)
{
    const lanes zero = {0};

    x = larger(x + layer->zero_point, zero + layer->low);
    return __builtin_convertvector(-larger(-x, zero - 127), bytes);
}

static int32_t multiply_one(int32_t x, bl_factor factor)
{
    factors f = same_factor(factor);

    return rescale((lanes){0} + x, &f)[0];
}

/* Convolution: a tile of up to COLUMNS columns, LANES channels */

/* Weights and constants of LANES output channels of a group. */
typedef struct {
    weight weights[MAX_WINDOW * LANES]; /* [steps][LANES][TOGETHER] */
    lanes bias;
    factors factors;
    uint32_t steps; /* of TOGETHER values, in a window */
    uint32_t used;  /* lanes */
} block;

static void make_block(block *b, const bl_layer *layer, uint32_t first,
                       uint32_t used, uint32_t window)
{
    const int8_t *from = (const int8_t *)layer->weights + first * window;
    uint32_t o, i;

    b->steps = (window + TOGETHER - 1) / TOGETHER;
    b->used = used;
    b->bias = (lanes){0};
    b->factors = same_factor(layer->factors[first]);
    memset(b->weights, 0, b->steps * sizeof(lanes));
    for (o = 0; o < used; o++, from += window) {
        int32_t sum = 0;

        for (i = 0; i < window; i++) {
            sum += from[i];
            b->weights[(i / TOGETHER * LANES + o) * TOGETHER + i % TOGETHER] =
                from[i];
        }
        b->bias[o] = layer->constants[first + o] - OFFSET * sum;
        take_factor(&b->factors, o, layer->factors[first + o]);
    }
}

static lanes weights_of(const block *b, uint32_t step)
{
    lanes found;

    memcpy(&found, b->weights + step * LANES * TOGETHER, sizeof found);
    return found;
}

static void put(const bl_layer *layer, const block *b, lanes sum, int8_t *out)
{
    bytes made = to_int8(rescale(sum, &b->factors), layer);

    if (b->used == LANES)
        memcpy(out, &made, LANES);
    else
        memcpy(out, &made, b->used);
}

/* COLUMNS output columns; windows begin `step` values apart. */
static void full_tile(const bl_layer *layer, const block *b, const value *x,
                      uint32_t step, int8_t *out)
{
    lanes sums[COLUMNS];
    uint32_t i, c;

    for (c = 0; c < COLUMNS; c++)
        sums[c] = b->bias;
    for (i = 0; i < b->steps; i++) {
        lanes w = weights_of(b, i);

        for (c = 0; c < COLUMNS; c++)
            sums[c] = multiply_add(sums[c], x + c * step + i * TOGETHER, w);
    }
    for (c = 0; c < COLUMNS; c++)
        put(layer, b, sums[c], out + c * layer->channels);
}

static void one_column(const bl_layer *layer, const block *b, const value *x,
                       int8_t *out)
{
    lanes sum = b->bias;
    uint32_t i;

    for (i = 0; i < b->steps; i++)
        sum = multiply_add(sum, x + i * TOGETHER, weights_of(b, i));
    put(layer, b, sum, out);
}

/* The channels of a group, `width` of `inputs`, of `columns` columns. */
static void load(value *to, const int8_t *x, uint32_t inputs, uint32_t width,
                 uint32_t columns)
{
    uint32_t c, i;

    if (width == inputs) {
        width *= columns;
        columns = 1;
    }
    for (c = 0; c < columns; c++, x += inputs)
        for (i = 0; i < width; i++)
            *to++ = (value)(x[i] + OFFSET);
    for (i = 0; i < TOGETHER; i++)
        *to++ = 0; /* behind the last window: times a weight of 0 */
}

static void convolve_block(const bl_layer *layer, const block *b,
                           uint32_t inputs, uint32_t width, const int8_t *x,
                           uint32_t count, int8_t *out)
{
    value values[MAX_VALUES + TOGETHER];
    uint32_t step = layer->stride * width, now, c;

    for (; count > 0; count -= now) {
        now = count < COLUMNS ? count : COLUMNS;
        load(values, x, inputs, width,
             (now - 1) * layer->stride + layer->taps);
        if (now == COLUMNS)
            full_tile(layer, b, values, step, out);
        for (c = 0; now < COLUMNS && c < now; c++)
            one_column(layer, b, values + c * step, out + c * layer->channels);
        x += now * layer->stride * inputs;
        out += now * layer->channels;
    }
}

/* One by one: windows of any size */

static void convolve_any(const bl_layer *layer, uint32_t inputs,
                         const int8_t *x, uint32_t count, int8_t *out)
{
    uint32_t width = inputs / layer->groups, o, t, i;
    uint32_t each = layer->channels / layer->groups;

    for (; count > 0; count--, x += layer->stride * inputs)
        for (o = 0; o < layer->channels; o++) {
            const int8_t *w =
                (const int8_t *)layer->weights + o * layer->taps * width;
            int32_t sum = layer->constants[o];

            for (t = 0; t < layer->taps; t++)
                for (i = 0; i < width; i++)
                    sum += (int32_t)*w++ * x[t * inputs + o / each * width + i];
            sum = multiply_one(sum, layer->factors[o]) + layer->zero_point;
            *out++ = (int8_t)(sum < layer->low ? layer->low
                              : sum > 127      ? 127
                                               : sum);
        }
}

void bl_convolve_rows(const bl_layer *layer, const bl_job *job)
{
    uint32_t width = (uint32_t)layer->inputs / layer->groups;
    uint32_t window = layer->taps * width, g, o;
    uint32_t each = layer->channels / layer->groups;
    block b;

    if (window > MAX_WINDOW ||
        window + (COLUMNS - 1u) * layer->stride * width > MAX_VALUES) {
        convolve_any(layer, layer->inputs, job->x, job->count, job->out);
        return;
    }
    for (g = 0; g < layer->groups; g++)
        for (o = 0; o < each; o += LANES) {
            uint32_t first = g * each + o;

            make_block(&b, layer, first, each - o < LANES ? each - o : LANES,
                       window);
            convolve_block(layer, &b, layer->inputs, width, job->x + g * width,
                           job->count, job->out + first);
        }
}

/* Sums and permutations */

void bl_add(const bl_layer *layer, const bl_job *job)
{
    factors of_a = same_factor(layer->factors[0]);
    factors of_b = same_factor(layer->factors[1]);
    factors of_sum = same_factor(layer->factors[2]);
    const lanes head = (lanes){0} + (1 << ADD_LEFT_SHIFT);
    uint32_t count = job->count * layer->channels, done, now;

    for (done = 0; done < count; done += now) {
        bytes left = {0}, right = {0}, made;
        lanes a, b;

        now = count - done < LANES ? count - done : LANES;
        memcpy(&left, job->x + done, now);
        memcpy(&right, job->other + done, now);
        a = __builtin_convertvector(left, lanes) - layer->constants[0];
        b = __builtin_convertvector(right, lanes) - layer->constants[1];
        a = rescale(a * head, &of_a) + rescale(b * head, &of_b);
        made = to_int8(rescale(a, &of_sum), layer);
        memcpy(job->out + done, &made, now);
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

#endif
