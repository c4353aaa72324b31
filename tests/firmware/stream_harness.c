/*
 * Runs the whole chain over a sensor's counts from stdin, for the tests.
 *
 * In:  pieces: a number (int32, little-endian as all numbers), then so many
 *      int16 counts; a negative number is a gap of so many counts.
 * Out: per finding start, columns, decisions, lost, flat, saturated, clipped,
 *      unusable, noisy, padded, assessable, warnings (uint32 each), sums (int32
 *      [classes]), and of an assessable one evidence (int8
 *      [columns][classes]).
 *
 * Memory is a block of exactly its size, so that a sanitizer sees every access
 * beside it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "beatlens.h"
#include "sensor.h"
#include "task.h"

#define MAX_COUNTS 100000

static void write_finding(void *context, const bl_stream *s,
                          const bl_finding *f)
{
    uint32_t values[12], classes = task.lead.model->classes, i, c;

    (void)context;
    values[0] = f->start;
    values[1] = f->columns;
    values[2] = f->decisions;
    values[3] = f->defects.lost;
    values[4] = f->defects.flat;
    values[5] = f->defects.saturated;
    values[6] = f->defects.clipped;
    values[7] = f->defects.unusable;
    values[8] = f->defects.noisy;
    values[9] = f->defects.padded;
    values[10] = f->assessable;
    values[11] = f->warnings;
    fwrite(values, sizeof values[0], 12, stdout);
    fwrite(f->sums, sizeof f->sums[0], classes, stdout);
    for (i = 0; f->assessable && i < f->columns; i++)
        for (c = 0; c < classes; c++)
            putchar((unsigned char)bl_evidence(s, f, i, c));
}

/* What an init refuses; 0 if it does. */
static int check_refusals(bl_stream *s, uint32_t *memory, uint32_t bytes)
{
    bl_task hop = task, empty = task;
    bl_sensor rails = sensor;

    hop.hop = (uint16_t)(task.lead.kept + 1);
    empty.lead.stride = 0;
    rails.low = rails.high;
    if (bl_init(s, &hop, &sensor, memory, bytes) != BL_ERROR_TASK ||
        bl_init(s, &empty, &sensor, memory, bytes) != BL_ERROR_TASK)
        return 3;
    if (bl_init(s, &task, &rails, memory, bytes) != BL_ERROR_SENSOR)
        return 4;
    if (bl_init(s, &task, &sensor, memory, bytes - 1) != BL_ERROR_MEMORY)
        return 5;
    return bytes == TASK_MEMORY_BYTES(SENSOR_TAPS) ? 0 : 6;
}

int main(void)
{
    uint32_t bytes = bl_memory_bytes(&task, &sensor);
    uint32_t *memory = malloc(bytes);
    int16_t *counts = malloc(MAX_COUNTS * sizeof *counts);
    bl_stream s;
    int32_t size;
    int rc;

    if (memory == NULL || counts == NULL)
        return 2;
    rc = check_refusals(&s, memory, bytes);
    if (rc != 0)
        return rc;
    if (bl_init(&s, &task, &sensor, memory, bytes) != BL_OK)
        return 7;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        if (size < 0)
            rc = bl_gap(&s, (uint32_t)-size, write_finding, NULL);
        else if (size > MAX_COUNTS ||
                 fread(counts, sizeof *counts, (size_t)size, stdin) !=
                     (size_t)size)
            return 8;
        else
            rc = bl_push(&s, counts, (uint32_t)size, write_finding, NULL);
        if (rc != BL_OK)
            return 9;
    }
    if (bl_end(&s, write_finding, NULL) != BL_OK ||
        bl_end(&s, write_finding, NULL) != BL_ERROR_ENDED ||
        bl_push(&s, counts, 1, write_finding, NULL) != BL_ERROR_ENDED)
        return 10;
    free(memory);
    free(counts);
    return 0;
}
