/*
 * Runs the C detector of R peaks, for the tests.
 *
 * In:  the floor of candidates, uint8; int8 samples to the end of the file.
 * Out: every peak, uint32, little-endian; after the end of the stream the
 *      same samples once more, which have to give the same peaks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bl_qrs.h"

enum { MAX_SAMPLES = 1 << 22 };

static int8_t x[MAX_SAMPLES];

static void write_peak(void *context, uint32_t sample)
{
    ++*(uint32_t *)context;
    fwrite(&sample, sizeof sample, 1, stdout);
}

int main(void)
{
    bl_qrs *q = malloc(sizeof *q);
    uint32_t peaks = 0, first = 0;
    size_t count, i;
    int run, floor;

    if (q == NULL)
        return 2;
    floor = getchar();
    count = fread(x, 1, MAX_SAMPLES, stdin);
    bl_qrs_init(q, (int16_t)floor);
    for (run = 0; run < 2; run++) {
        first = peaks;
        for (i = 0; i < count; i++)
            bl_qrs_push(q, x[i], write_peak, &peaks);
        bl_qrs_end(q, write_peak, &peaks);
    }
    free(q);
    return peaks == 2 * first ? 0 : 3;
}
