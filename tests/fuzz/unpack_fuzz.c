/*
 * libFuzzer: the decoder of packed weights, on any bytes. Asserts what
 * firmware_export/SECURITY.md promises of it; P1 to P8 are its numbers.
 *
 * The bytes and the row are blocks of exactly their size, so that the
 * sanitizer sees every access beside them: P1.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bl_unpack.h"
#include "promise.h"

#define MAX_READ (UINT32_C(1) << 16) /* weights; larger ones are opened only */
#define UNTOUCHED 0x55

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *block(size_t size)
{
    void *made = malloc(size > 0 ? size : 1);

    PROMISE(made != NULL);
    return made;
}

static void check_result(int rc)
{
    PROMISE(rc <= BL_OK && rc >= BL_ERROR_NO_ROW); /* P2 */
}

static void check_shape(const bl_unpack *u, uint32_t size)
{
    uint64_t weights = (uint64_t)u->outputs * u->taps * u->inputs;

    PROMISE(weights > 0 && weights <= BL_UNPACK_MAX_WEIGHTS); /* P3 */
    PROMISE(size <= weights + 32);
}

/* A row too small is refused, and nothing has happened: P4. */
static void check_room(bl_unpack *u)
{
    uint32_t room = (u->taps * u->inputs - 1) % 64, i;
    int8_t *row = block(room);
    bl_unpack before;

    memcpy(&before, u, sizeof before);
    memset(row, UNTOUCHED, room);
    PROMISE(bl_unpack_row(u, row, room) == BL_ERROR_MEMORY);
    for (i = 0; i < room; i++)
        PROMISE(row[i] == UNTOUCHED);
    PROMISE(memcmp(&before, u, sizeof before) == 0);
    free(row);
}

/* Reads all rows; *hash is of their weights. The first error, or OK. */
static int read_rows(bl_unpack *u, uint32_t *hash)
{
    uint32_t size = u->taps * u->inputs, row_number, i;
    int8_t *row = block(size);
    int rc = BL_OK;

    for (row_number = 0; rc == BL_OK && row_number < u->outputs;
         row_number++) {
        rc = bl_unpack_row(u, row, size);
        check_result(rc);
        for (i = 0; rc == BL_OK && i < size; i++)
            *hash = *hash * 31 + (uint8_t)row[i];
    }
    if (rc == BL_OK)
        PROMISE(bl_unpack_row(u, row, size) == BL_ERROR_NO_ROW); /* P5 */
    else
        check_result(bl_unpack_row(u, row, size)); /* still no harm: P1 */
    free(row);
    return rc;
}

/* Opens and reads `size` bytes; the first error, or OK. */
static int decode(const uint8_t *data, uint32_t size, uint32_t *hash)
{
    uint8_t *packed = block(size);
    bl_unpack u;
    int rc;

    memset(&u, 0, sizeof u); /* so that its copies compare byte by byte */
    memcpy(packed, data, size);
    *hash = 0;
    rc = bl_unpack_open(&u, packed, size);
    check_result(rc);
    if (rc == BL_OK) {
        check_shape(&u, size);
        check_room(&u);
        rc = u.outputs * u.taps * u.inputs <= MAX_READ ? read_rows(&u, hash)
                                                        : BL_ERROR_BITS_LEFT;
    }
    PROMISE(memcmp(packed, data, size) == 0); /* P6 */
    free(packed);
    return rc;
}

/* A sound tensor is so with its last byte and without another: P7. */
static void check_length(const uint8_t *data, uint32_t size)
{
    uint8_t *longer = block(size + 1);
    uint32_t hash;

    memcpy(longer, data, size);
    longer[size] = 0;
    PROMISE(decode(longer, size + 1, &hash) != BL_OK);
    PROMISE(decode(longer, size - 1, &hash) != BL_OK);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[1] = {0};
    uint32_t first, again;
    int rc;

    data = size > 0 ? data : nothing; /* memcpy takes no null pointer */
    rc = decode(data, (uint32_t)size, &first);
    PROMISE(decode(data, (uint32_t)size, &again) == rc); /* P8 */
    PROMISE(first == again);
    if (rc == BL_OK)
        check_length(data, (uint32_t)size);
    return 0;
}
