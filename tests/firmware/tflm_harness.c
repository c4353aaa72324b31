/*
 * Runs an exported TensorFlow Lite Micro project over a sensor's counts from
 * stdin, for the tests. Input and output are those of stream_harness.c.
 *
 * Argument, if any: how many runs of the network succeed before one fails.
 * Memory is a block of exactly its size, so that a sanitizer sees every
 * access beside it. Two streams take the same counts in turns, since they share
 * the network; the findings of one are written, those of both must agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "double.h"
#include "strips.h"

#define MAX_COUNTS 100000

static uint8_t arena[HARNESS_ARENA] __attribute__((aligned(16)));
static unsigned char text[1 << 16];
static size_t text_bytes;

static void put(const void *data, size_t bytes)
{
    if (text_bytes + bytes > sizeof text)
        abort();
    memcpy(text + text_bytes, data, bytes);
    text_bytes += bytes;
}

/* A finding as bytes in `text`. */
static void write_text(const bl_stream *s, const bl_finding *f)
{
    uint32_t classes = s->task->lead.model->classes, i, c;
    uint32_t values[12];

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
    text_bytes = 0;
    put(values, sizeof values);
    put(f->sums, classes * sizeof f->sums[0]);
    for (i = 0; f->assessable && i < f->columns; i++)
        for (c = 0; c < classes; c++) {
            int8_t evidence = bl_evidence(s, f, i, c);

            put(&evidence, 1);
        }
}

static void write_finding(void *context, const bl_stream *s,
                          const bl_finding *f)
{
    (void)context;
    write_text(s, f);
    fwrite(text, 1, text_bytes, stdout);
}

/* Of the other stream: only counts what it finds. */
static void count_finding(void *context, const bl_stream *s,
                          const bl_finding *f)
{
    uint32_t *sum = context, i;

    write_text(s, f);
    for (i = 0; f->assessable && i < text_bytes; i++)
        *sum = *sum * UINT32_C(31) + text[i];
}

static void write_and_count(void *context, const bl_stream *s,
                            const bl_finding *f)
{
    write_finding(NULL, s, f);
    count_finding(context, s, f);
}

/* What load and init refuse; 0 if they do. */
static int check_refusals(strips_stream *s, uint32_t *memory, uint32_t bytes)
{
    int32_t used;

    if (strips_init(s, memory, bytes) != BL_ERROR_NOT_LOADED)
        return 3;
    if (strips_load(NULL, sizeof arena) != BL_ERROR_ARENA ||
        strips_load(arena, 16) != BL_ERROR_ARENA ||
        strips_init(s, memory, bytes) != BL_ERROR_NOT_LOADED)
        return 4;
    used = strips_load(arena, sizeof arena);
    if (used <= 0 || strips_load(arena, (uint32_t)used) != used ||
        strips_load(arena, (uint32_t)used - 1) != BL_ERROR_ARENA ||
        strips_load(arena, sizeof arena) != used)
        return 5;
    if (strips_init(s, memory, bytes - 1) != BL_ERROR_MEMORY ||
        strips_init(s, NULL, bytes) != BL_ERROR_MEMORY)
        return 6;
    return strips_init(s, memory, bytes) == BL_OK &&
                   bl_memory_bytes(s->stream.task, s->stream.lead.sensor) ==
                       bytes
               ? 0
               : 7;
}

static strips_stream stream, other, silent; /* the last has no callback */
static uint32_t sums[2];

/* One piece of stdin, which `size` counts of follow, for both streams. */
static int take(int32_t size, int16_t *counts)
{
    int rc, rc_other;

    if (size < 0) {
        rc = strips_gap(&stream, (uint32_t)-size, write_and_count, &sums[0]);
        rc_other = strips_gap(&other, (uint32_t)-size, count_finding, &sums[1]);
        if (rc == BL_OK)
            rc = strips_gap(&silent, (uint32_t)-size, NULL, NULL);
    } else {
        if (size > MAX_COUNTS ||
            fread(counts, sizeof *counts, (size_t)size, stdin) !=
                (size_t)size)
            return 9;
        rc = strips_push(&stream, counts, (uint32_t)size, write_and_count,
                         &sums[0]);
        if (rc == BL_ERROR_INVOKE)
            return 20;
        rc_other = strips_push(&other, counts, (uint32_t)size, count_finding,
                               &sums[1]);
        if (rc == BL_OK)
            rc = strips_push(&silent, counts, (uint32_t)size, NULL, NULL);
    }
    return rc == BL_OK && rc_other == BL_OK ? 0 : 10;
}

static int run(int16_t *counts)
{
    int32_t size;
    int rc;

    while (fread(&size, sizeof size, 1, stdin) == 1) {
        rc = take(size, counts);
        if (rc != 0)
            return rc;
    }
    if (strips_end(&stream, write_and_count, &sums[0]) != BL_OK ||
        strips_end(&other, count_finding, &sums[1]) != BL_OK ||
        strips_end(&silent, NULL, NULL) != BL_OK || sums[0] != sums[1])
        return 11;
    if (strips_end(&stream, write_finding, NULL) != BL_ERROR_ENDED ||
        strips_push(&stream, counts, 1, write_finding, NULL) !=
            BL_ERROR_ENDED ||
        strips_gap(&stream, 1, write_finding, NULL) != BL_ERROR_ENDED)
        return 12;
    return 0;
}

int main(int count, char **arguments)
{
    uint32_t bytes = STRIPS_MEMORY_BYTES;
    uint32_t *memory = malloc(bytes), *other_memory = malloc(bytes);
    uint32_t *silent_memory = malloc(bytes);
    int16_t *counts = malloc(MAX_COUNTS * sizeof *counts);
    int rc = 2;

    if (memory != NULL && other_memory != NULL && silent_memory != NULL &&
        counts != NULL)
        rc = check_refusals(&stream, memory, bytes);
    if (rc == 0 && (strips_init(&other, other_memory, bytes) != BL_OK ||
                    strips_init(&silent, silent_memory, bytes) != BL_OK))
        rc = 8;
    if (rc == 0) {
        if (count == 2)
            double_invokes_until_failure = atoi(arguments[1]);
        rc = run(counts);
    }
    free(memory);
    free(other_memory);
    free(silent_memory);
    free(counts);
    return rc;
}
