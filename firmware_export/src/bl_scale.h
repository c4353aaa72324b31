/* From sums to int8, for the kernels. */
#ifndef BL_SCALE_H
#define BL_SCALE_H

#include "bl_net.h"

/* Shifts of negative numbers are the compiler's choice in C99: proves that it
 * chose to round down, as every compiler for these cores does. */
typedef char bl_shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

/* x * factor, rounded twice, as MultiplyByQuantizedMultiplier does. */
static inline int32_t bl_multiply(int32_t x, bl_factor factor)
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

static inline int8_t bl_to_int8(int32_t value, const bl_layer *layer)
{
    value += layer->zero_point;
    return (int8_t)(value < layer->low ? layer->low
                    : value > 127      ? 127
                                       : value);
}

#endif
