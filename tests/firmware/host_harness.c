/*
 * Runs the host's library over a sensor's counts from stdin, for the tests.
 * In and out as stream_harness.c.
 *
 * Memory and batches are blocks of exactly their sizes, so that a sanitizer
 * sees every access beside them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "beatlens.h"
#include "bl_host.h"

#define MAX_COUNTS 100000
#define ROOM 2000

extern const bl_task task;

static void write_findings(const bl_host_batch *batch)
{
    uint32_t classes = task.lead.model->classes, i;

    for (i = 0; i < batch->count; i++) {
        const bl_host_window *found =
            (const bl_host_window *)batch->findings + i;
        const bl_host_span *f = &found->span;
        uint32_t values[12];

        values[0] = f->start;
        values[1] = f->columns;
        values[2] = found->decisions;
        values[3] = f->lost;
        values[4] = f->flat;
        values[5] = f->saturated;
        values[6] = f->clipped;
        values[7] = f->unusable;
        values[8] = f->noisy;
        values[9] = f->padded;
        values[10] = f->assessable;
        values[11] = f->warnings;
        fwrite(values, sizeof values[0], 12, stdout);
        fwrite(batch->sums + i * classes, sizeof *batch->sums, classes, stdout);
        if (f->assessable)
            fwrite(batch->evidence + (size_t)i * task.lead.kept * classes,
                   classes,
                   f->columns, stdout);
    }
}

static int run(void *memory, int16_t *counts, bl_host_batch *batch)
{
    int32_t size;
    int rc;

    while (fread(&size, sizeof size, 1, stdin) == 1) {
        if (size < 0)
            rc = bl_host_gap(memory, (uint32_t)-size, batch);
        else if (size > MAX_COUNTS ||
                 fread(counts, sizeof *counts, (size_t)size,
                       stdin) != (size_t)size)
            return 8;
        else
            rc = bl_host_push(memory, counts, (uint32_t)size, batch);
        if (rc != BL_OK)
            return 9;
        write_findings(batch);
    }
    if (bl_host_end(memory, batch) != BL_OK)
        return 10;
    write_findings(batch);
    return bl_host_end(memory, batch) == BL_ERROR_ENDED ? 0 : 11;
}

/* A batch that is too small is an error, and is not written beyond. */
static int check_room(void *memory, int16_t *counts, bl_host_batch batch)
{
    uint32_t i;
    int rc = BL_OK;

    batch.room = 0;
    batch.findings = NULL;
    for (i = 0; i < MAX_COUNTS; i++)
        counts[i] = (int16_t)(i % 200);
    for (i = 0; i < 20 && rc == BL_OK; i++)
        rc = bl_host_push(memory, counts, MAX_COUNTS, &batch);
    return rc == BL_ERROR_BATCH_FULL ? 0 : 4;
}

int main(void)
{
    uint32_t bytes = bl_host_bytes(), classes = task.lead.model->classes;
    size_t columns = (size_t)ROOM * task.lead.kept;
    void *memory = malloc(bytes);
    int16_t *counts = malloc(MAX_COUNTS * sizeof *counts);
    bl_host_batch batch;
    int rc;

    batch.findings = malloc(ROOM * sizeof(bl_host_window));
    batch.sums = malloc(ROOM * classes * sizeof *batch.sums);
    batch.evidence = malloc(columns * classes);
    batch.flags = malloc(columns);
    batch.room = ROOM;
    if (memory == NULL || counts == NULL || batch.findings == NULL ||
        batch.sums == NULL || batch.evidence == NULL || batch.flags == NULL)
        return 2;
    if (bl_host_begin(memory, bytes - 1) != BL_ERROR_MEMORY ||
        bl_host_begin(memory, bytes) != BL_OK)
        return 3;
    rc = check_room(memory, counts, batch);
    if (rc == 0 && bl_host_begin(memory, bytes) != BL_OK)
        rc = 5;
    if (rc == 0)
        rc = run(memory, counts, &batch);
    free(memory);
    free(counts);
    free(batch.findings);
    free(batch.sums);
    free(batch.evidence);
    free(batch.flags);
    return rc;
}
