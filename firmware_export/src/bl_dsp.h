/* Instructions of Armv7E-M and of the DSP extension, and elsewhere what they
 * compute. Words of bytes are little-endian. */
#ifndef BL_DSP_H
#define BL_DSP_H

#include <stdint.h>

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define BL_HAS_DSP 1
#endif

/* Kept out of its caller, which would leave it too few registers. */
#ifdef __GNUC__
#define BL_APART __attribute__((noinline))
#else
#define BL_APART
#endif

#ifdef BL_HAS_DSP

/* Four bytes from any address: these cores load unaligned words. */
static inline uint32_t bl_word(const int8_t *from)
{
    struct word {
        uint32_t bytes;
    } __attribute__((packed, may_alias));

    return ((const struct word *)(const void *)from)->bytes;
}

/* Bytes 0 and 2 as the signed halves of a word. */
static inline uint32_t bl_even(uint32_t bytes)
{
    uint32_t halves;

    __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
    return halves;
}

/* Bytes 1 and 3 as the signed halves of a word. */
static inline uint32_t bl_odd(uint32_t bytes)
{
    uint32_t halves;

    __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
    return halves;
}

/* sum + product of the low halves. */
static inline int32_t bl_low(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* sum + product of the high halves. */
static inline int32_t bl_high(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* sum + (a * b + 2^31) / 2^32, rounded down. */
static inline int32_t bl_add_high(int32_t a, int32_t b, int32_t sum)
{
    int32_t added;

    __asm__("smmlar %0, %1, %2, %3" : "=r"(added) : "r"(a), "r"(b), "r"(sum));
    return added;
}

/* Loads two words of constants; returns what is behind them. */
static inline const uint32_t *bl_next_two(const uint32_t *from, uint32_t *a,
                                          uint32_t *b)
{
    __asm__("ldrd %0, %1, [%2], #8" : "=&r"(*a), "=&r"(*b), "+&r"(from));
    return from;
}

/* Stores two words. */
static inline void bl_two_words(uint32_t *to, uint32_t a, uint32_t b)
{
    typedef struct {
        uint32_t words[2];
    } two;

    __asm__("strd %1, %2, %0" : "=m"(*(two *)to) : "r"(a), "r"(b));
}

#else

static inline uint32_t bl_word(const int8_t *from)
{
    return (uint32_t)(uint8_t)from[0] | (uint32_t)(uint8_t)from[1] << 8 |
           (uint32_t)(uint8_t)from[2] << 16 | (uint32_t)(uint8_t)from[3] << 24;
}

static inline uint32_t bl_halves(uint32_t low, uint32_t high)
{
    return (uint32_t)(uint16_t)(int8_t)(uint8_t)low |
           (uint32_t)(uint16_t)(int8_t)(uint8_t)high << 16;
}

static inline uint32_t bl_even(uint32_t bytes)
{
    return bl_halves(bytes & 255, bytes >> 16 & 255);
}

static inline uint32_t bl_odd(uint32_t bytes)
{
    return bl_halves(bytes >> 8 & 255, bytes >> 24);
}

static inline int32_t bl_low(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t product = (int32_t)(int16_t)(uint16_t)a * (int16_t)(uint16_t)b;

    return (int32_t)((uint32_t)sum + (uint32_t)product);
}

static inline int32_t bl_high(uint32_t a, uint32_t b, int32_t sum)
{
    return bl_low(a >> 16, b >> 16, sum);
}

static inline int32_t bl_add_high(int32_t a, int32_t b, int32_t sum)
{
    return sum + (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}

static inline const uint32_t *bl_next_two(const uint32_t *from, uint32_t *a,
                                          uint32_t *b)
{
    *a = from[0];
    *b = from[1];
    return from + 2;
}

static inline void bl_two_words(uint32_t *to, uint32_t a, uint32_t b)
{
    to[0] = a;
    to[1] = b;
}

#endif

#ifdef __thumb2__ /* Armv7-M has these too */

/* sum - 1 for x below 0, else sum. */
static inline int32_t bl_add_sign(int32_t sum, int32_t x)
{
    int32_t added;

    __asm__("add %0, %1, %2, asr #31" : "=r"(added) : "r"(sum), "r"(x));
    return added;
}

/* The nearest int8. */
static inline int32_t bl_saturate(int32_t x)
{
    int32_t saturated;

    __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(x));
    return saturated;
}

#else

static inline int32_t bl_add_sign(int32_t sum, int32_t x)
{
    return sum - (x < 0);
}

static inline int32_t bl_saturate(int32_t x)
{
    return x < -128 ? -128 : x > 127 ? 127 : x;
}

#endif

/* How a channel's sums become int8; made by the generator. */
typedef struct {
    int32_t mantissa;
    int32_t rounding; /* half of the last place, and the zero point */
    int32_t right;    /* shift, at least 1 */
} bl_rescale;

/*
 * The int8 of half of `twice`: rounds twice, halves away from zero, as
 * MultiplyByQuantizedMultiplier does. For those, one less is added below
 * zero; whether the sum or its product is asked for its sign is the same,
 * since with a product of 0 either rounds to 0.
 */
static inline int32_t bl_rescaled(int32_t twice, bl_rescale by)
{
    int32_t sum =
        bl_add_high(twice, by.mantissa, bl_add_sign(by.rounding, twice));

    return bl_saturate(sum >> by.right);
}

#endif
