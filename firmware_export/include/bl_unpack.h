/*
 * Packed weights (see ../SPEC.md): int8 tensors [out, k, in], decoded one
 * output channel at a time into a row of the caller's.
 *
 * C99, freestanding: no heap, no recursion, no global state, and nothing of
 * libc (a compiler may turn loops into calls of memcpy and memset). Packed
 * bytes are taken as hostile: whatever they hold, no function reads outside
 * them or writes outside the row, and each call ends after a number of steps
 * that is bounded by the size of a row.
 *
 *     bl_unpack u;
 *     int rc = bl_unpack_open(&u, packed, sizeof packed);
 *     for (uint32_t o = 0; rc == BL_OK && o < u.outputs; o++) {
 *         rc = bl_unpack_row(&u, row, sizeof row);
 *         ... row[t * u.inputs + i] is the weight of tap t, input i
 *     }
 *
 * The last row is refused when bits are left over: bytes that decode without
 * an error are exactly what an encoder wrote for these weights. Whether they
 * are the weights that were meant, only a checksum shows.
 */
#ifndef BL_UNPACK_H
#define BL_UNPACK_H

#include <stdint.h>

#include "bl_error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BL_PACKED_VERSION 1 /* of the format, in SPEC.md */
#define BL_UNPACK_MAX_WEIGHTS (UINT32_C(1) << 24) /* of a tensor */

/* Bits at..end of the packed bytes, counted from their beginning. */
typedef struct {
    uint32_t at;
    uint32_t end;
} bl_unpack_bits;

/* How whole numbers are coded. */
typedef struct {
    uint32_t base;       /* without Huffman: added to each number */
    uint8_t width;       /* without Huffman: bits of each number */
    uint8_t mantissa;    /* bits behind the leading one in a symbol */
    uint8_t used;        /* symbols that occur; 0: no Huffman code */
    uint8_t counts[16];  /* symbols by length of their code word */
    uint8_t symbols[64]; /* in the order of their code words */
} bl_unpack_code;

/* A tensor being read; shape for the caller to see, the rest is private. */
typedef struct {
    uint32_t outputs; /* rows: output channels, 1 or more */
    uint32_t taps;    /* columns that an output sees, 1 or more */
    uint32_t inputs;  /* input channels of a group, 1 or more */

    const uint8_t *data;
    uint32_t size;         /* of data, bytes */
    uint32_t row;          /* rows that were read */
    uint32_t block_taps;   /* of a block, or of a codebook's segment */
    uint32_t block_inputs; /* likewise */
    uint32_t entries;      /* of the codebook */
    uint32_t book;         /* where the codebook begins, in bits */
    uint32_t run;          /* zeros until the next value */
    uint8_t coding;        /* 0 to 6, as in SPEC.md */
    uint8_t book_width;    /* bits of a number in the codebook, 0 to 8 */
    uint8_t in_run;        /* 1: a run was read, the value behind it was not */
    bl_unpack_bits bits[3]; /* last section, first section, signs */
    bl_unpack_code code[2]; /* of the last section, of the first */
} bl_unpack;

/*
 * Begins to read `size` bytes at `data`, which must stay there. Returns BL_OK
 * or an error of packed weights (bl_error.h); then `u` must not be used.
 */
int bl_unpack_open(bl_unpack *u, const uint8_t *data, uint32_t size);

/*
 * Writes the weights of the next output channel, taps * inputs bytes, tap by
 * tap, to `row`, which has room for `room` bytes. Returns BL_OK, or
 * BL_ERROR_MEMORY where a row has more bytes, or BL_ERROR_NO_ROW after the
 * last one; after any other error of packed weights all rows are invalid.
 */
int bl_unpack_row(bl_unpack *u, int8_t *row, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
