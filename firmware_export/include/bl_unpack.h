/*
 * Packed weights (see ../SPEC.md): int8 tensors [out, k, in], expanded one
 * output channel at a time into a buffer of the caller's.
 *
 * C99, freestanding: no heap, no recursion, no global state, and nothing of
 * libc (a compiler may turn loops into calls of memcpy and memset). Packed
 * bytes are taken as hostile: whatever they hold, no function reads outside
 * them or writes outside the row, and each call ends after a number of steps
 * that is bounded by the size of a row.
 *
 *     bl_unpack u;
 *     int rc = bl_unpack_open(&u, packed, sizeof packed);
 *     for (uint32_t o = 0; rc == BL_UNPACK_OK && o < u.outputs; o++) {
 *         rc = bl_unpack_row(&u, row, sizeof row);
 *         ... row[t * u.inputs + i] is the weight of tap t, input i
 *     }
 *
 * The last row is refused when bits are left over: bytes that decode without
 * an error are exactly what the encoder wrote for these weights, or a valid
 * tensor of somebody else. Only a checksum tells those apart.
 */
#ifndef BL_UNPACK_H
#define BL_UNPACK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_UNPACK_MAX_WEIGHTS (UINT32_C(1) << 24)

enum bl_unpack_error {
    BL_UNPACK_OK = 0,
    BL_UNPACK_VERSION = -1, /* of another version of the format, or empty */
    BL_UNPACK_CODING = -2,  /* no such coding */
    BL_UNPACK_HEADER = -3,  /* header cut off, or shape not as it can be */
    BL_UNPACK_CODE = -4,    /* a number code is described that is none */
    BL_UNPACK_ENDS = -5,    /* the bits end too early */
    BL_UNPACK_VALUE = -6,   /* weight, index, magnitude or run too large */
    BL_UNPACK_LEFT = -7,    /* bits are left over behind the last row */
    BL_UNPACK_ROOM = -8,    /* the caller's buffer is too small for a row */
    BL_UNPACK_DONE = -9     /* there are no more rows */
};

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
    uint32_t outputs; /* rows */
    uint32_t taps;
    uint32_t inputs;

    const uint8_t *data;
    uint32_t size;
    uint32_t row;      /* rows read */
    uint32_t block_taps; /* of a block, or of a codebook's segment */
    uint32_t block_inputs;
    uint32_t entries; /* of the codebook */
    uint32_t book;    /* where the codebook begins, in bits */
    uint32_t run;     /* zeros still to come */
    uint8_t coding;
    uint8_t book_width;
    uint8_t in_run;         /* a run was read, its value was not */
    bl_unpack_bits bits[3]; /* last section, first section, signs */
    bl_unpack_code code[2]; /* of the last section, of the first */
} bl_unpack;

/*
 * Begins to read `size` bytes at `data`, which must stay there. Returns
 * BL_UNPACK_OK or an error; then `u` must not be used.
 */
int bl_unpack_open(bl_unpack *u, const uint8_t *data, uint32_t size);

/*
 * Writes the weights of the next output channel, taps * inputs bytes, tap by
 * tap, to `row`, which has room for `room` bytes. Returns BL_UNPACK_OK or an
 * error; after an error all rows are lost.
 */
int bl_unpack_row(bl_unpack *u, int8_t *row, uint32_t room);

#ifdef __cplusplus
}
#endif

#endif
