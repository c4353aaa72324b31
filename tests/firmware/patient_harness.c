/*
 * Holds beats against a patient's own ones, for the tests.
 *
 * In:  rows of an interval, uint16, little-endian, and the samples of a beat,
 *      int8, to the end of the file.
 * Out: for every beat its features, its cluster, and whether that begins.
 *      Then the same beats once more, which have to give the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bl_patient.h"

enum { IN = 2 + BL_PATIENT_SEGMENT, OUT = BL_PATIENT_FEATURES + 2 };

static int hold_all(bl_patient *p, const uint8_t *rows, size_t count)
{
    size_t i;

    bl_patient_init(p);
    for (i = 0; i < count; i++) {
        const uint8_t *row = rows + i * IN;
        uint16_t interval = (uint16_t)(row[0] | row[1] << 8);
        uint8_t found[OUT];
        bl_membership m =
            bl_patient_add_beat(p, (const int8_t *)(row + 2), interval, found);

        found[OUT - 2] = m.cluster;
        found[OUT - 1] = m.begins;
        if (fwrite(found, 1, OUT, stdout) != OUT)
            return 0;
    }
    return 1;
}

int main(void)
{
    enum { MAX_BEATS = 1 << 16 };
    /* Each on its own, so that the sanitizer finds what is read beside it. */
    uint8_t *rows = malloc((size_t)MAX_BEATS * IN);
    bl_patient *p = malloc(sizeof *p);
    size_t count;
    int ok;

    if (rows == NULL || p == NULL)
        return 2;
    count = fread(rows, IN, MAX_BEATS, stdin);
    ok = hold_all(p, rows, count) && hold_all(p, rows, count);
    free(rows);
    free(p);
    return ok ? 0 : 3;
}
