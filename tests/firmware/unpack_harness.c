/*
 * Decodes packed tensors from stdin with bl_unpack, for the tests.
 *
 * In:  per tensor its size (uint32, little-endian, as all numbers) and bytes.
 * Out: per tensor the result (int32); where it is 0, the shape (3 x uint32)
 *      and the weights. Result -100: more than MAX_WEIGHTS weights, not tried.
 *
 * Packed bytes and the row are copied to blocks of exactly their size, so
 * that a sanitizer sees every access beside them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bl_unpack.h"

#define MAX_WEIGHTS 4096u
#define TOO_MANY (-100)

static int decode(const uint8_t *packed, uint32_t size, bl_unpack *u,
                  int8_t *weights)
{
    int rc = bl_unpack_open(u, packed, size);
    uint32_t row_size, o;
    int8_t *row;

    if (rc != BL_OK)
        return rc;
    row_size = u->taps * u->inputs;
    if (u->outputs * row_size > MAX_WEIGHTS)
        return TOO_MANY;
    row = malloc(row_size);
    if (row == NULL)
        exit(2);
    if (bl_unpack_row(u, row, row_size - 1) != BL_ERROR_MEMORY)
        exit(3);
    for (o = 0; rc == BL_OK && o < u->outputs; o++) {
        rc = bl_unpack_row(u, row, row_size);
        memcpy(weights + o * row_size, row, row_size);
    }
    if (rc == BL_OK && bl_unpack_row(u, row, row_size) != BL_ERROR_NO_ROW)
        exit(4);
    if (rc != BL_OK) /* asked again after an error, nothing happens */
        (void)bl_unpack_row(u, row, row_size);
    free(row);
    return rc;
}

int main(void)
{
    static int8_t weights[MAX_WEIGHTS];
    uint32_t size, shape[3];
    int32_t rc;

    while (fread(&size, sizeof size, 1, stdin) == 1) {
        uint8_t *packed = malloc(size > 0 ? size : 1);
        bl_unpack u;

        if (packed == NULL || fread(packed, 1, size, stdin) != size)
            return 5;
        rc = decode(packed, size, &u, weights);
        fwrite(&rc, sizeof rc, 1, stdout);
        if (rc == BL_OK) {
            shape[0] = u.outputs;
            shape[1] = u.taps;
            shape[2] = u.inputs;
            fwrite(shape, sizeof shape, 1, stdout);
            fwrite(weights, 1, shape[0] * shape[1] * shape[2], stdout);
        }
        free(packed);
    }
    return 0;
}
