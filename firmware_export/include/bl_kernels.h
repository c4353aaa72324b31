/*
 * Kernels: what operators compute. A model names one for each of its layers;
 * those that no layer names need not be linked. All of them give the same
 * bits, those of the LiteRT reference kernels, and run on every core; where
 * it has the instructions a kernel was written for, it uses them.
 *
 * What they have in common: the window of output column i begins at input
 * column i * stride; bias is less the input's zero point times the weights,
 * so that kernels multiply samples as they are.
 */
#ifndef BL_KERNELS_H
#define BL_KERNELS_H

#include "bl_net.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Convolution for any core.
 * weights: int8 [channels][taps][inputs / groups]
 * constants: bias [channels]
 * factors: [channels]
 */
bl_kernel bl_convolve_rows;

/*
 * Convolution for cores with DSP instructions: two products per instruction,
 * two channels from one word of weights. SPEC.md, "Pairs", says how words lie
 * and what is proven of them.
 * weights: words [groups][pairs of channels][words of a window]
 * constants: [groups][pairs][8]: bias of the first channel, that and 256 times
 *     the second one's; of each mantissa, rounding, shift to the right
 * scratch: BL_PAIRS_SCRATCH
 */
bl_kernel bl_convolve_pairs;

#define BL_PAIRS_PART 96  /* values of a window that are gathered at once */
#define BL_PAIRS_BLOCK 16 /* pairs of channels they are gathered for */

/* Bytes for windows of `values` values, a multiple of 4. */
#define BL_PAIRS_SCRATCH(values)                \
    ((values) <= BL_PAIRS_PART ? 8 * (values)   \
                               : 8 * BL_PAIRS_PART + 32 * BL_PAIRS_BLOCK)

/*
 * Convolution for cores with long multiplications: four products per
 * instruction. SPEC.md, "Long products", says how words lie and what is proven
 * of them. One group.
 * weights: words [channels][words of a window]
 * constants: inputs of a part, channels of a block, then [channels][4]: bias
 *     less 2^20 for each part; mantissa, rounding, shift to the right
 * scratch: BL_LONG_SCRATCH, and as much as values of a window's end may lie
 *     behind it
 */
bl_kernel bl_convolve_long;

/* Bytes for parts of `words` words of weights and blocks of channels. */
#define BL_LONG_SCRATCH(words, block) (12 * ((words) + 1) + 20 * (block))

/*
 * Depthwise convolution for cores with DSP instructions: every output channel
 * sees the input channel of its number. Channels are a multiple of 4.
 * weights: words [channels / 4][taps][2], halves of two channels
 * constants: [channels / 4][16]: bias of four channels; of each mantissa,
 *     rounding, shift to the right
 */
bl_kernel bl_convolve_taps;

/*
 * Convolution for cores with vectors (MVE, "Helium"), 16 products per
 * instruction. One group.
 * weights: int8 [channels, made a multiple of 3][taps][inputs]
 * constants: [channels, made a multiple of 4, / 4][3][4]: bias, mantissa,
 *     shift to the left, at most 0
 * scratch: BL_VECTORS_SCRATCH
 */
bl_kernel bl_convolve_vectors;

/* Bytes: two sums for each channel, and for those that are made up. */
#define BL_VECTORS_SCRATCH(channels) (32 * (((channels) + 5u) / 4))

/*
 * Depthwise convolution for cores with vectors: every output channel sees the
 * input channel of its number.
 * weights: int8 [taps][channels]
 * constants: as those of bl_convolve_vectors
 * scratch: 4 bytes for each channel, made a multiple of 4
 */
bl_kernel bl_convolve_channels;

/*
 * Sum of two inputs.
 * constants: their zero points
 * factors: of the first input, of the second one, of the sum
 */
bl_kernel bl_add;

/*
 * The same channels in another order.
 * constants: [channels], where each comes from
 */
bl_kernel bl_permute;

#ifdef __cplusplus
}
#endif

#endif
