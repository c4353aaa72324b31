/*
 * What operators compute, on columns that lie one behind the other. For
 * bl_net.c and for tests; every implementation gives the same bits.
 */
#ifndef BL_KERNELS_H
#define BL_KERNELS_H

#include "bl_net.h"

/*
 * Convolution: `count` output columns [channels] at `out` from
 * columns at `x`; the window of output i begins at input column i * stride.
 * `inputs` are the channels of x.
 */
void bl_convolve(const bl_layer *layer, uint32_t inputs, const int8_t *x,
                 uint32_t count, int8_t *out);

/*
 * Sum of two inputs, `count` values of each; zero points of theirs are a_zero
 * and b_zero.
 */
void bl_add(const bl_layer *layer, const int8_t *a, int8_t a_zero,
            const int8_t *b, int8_t b_zero, uint32_t count, int8_t *out);

/* The channels of `count` columns in another order. */
void bl_permute(const bl_layer *layer, const int8_t *x, uint32_t count,
                int8_t *out);

/* x * factor, rounded twice, as MultiplyByQuantizedMultiplier does. */
int32_t bl_multiply(int32_t x, bl_factor factor);

#endif
