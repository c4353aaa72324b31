/*
 * Rhythms on a device, from counts of a sensor: as the example in bl_rhythm.h,
 * for the package `wrist` of the tests.
 *
 * In:  int16 counts to the end of the file. After half of them 500 are lost.
 * Out: kind, start, end, first beat, last beat and rate of every rhythm,
 *      uint32, little-endian.
 */
#include <stdio.h>

#include "bl_beats.h"
#include "bl_rhythm.h"
#include "wrist.h"
#include "wrist_sensor.h"

enum { MAX_COUNTS = 1 << 20, LOST = 500 };

static uint32_t memory[WRIST_MEMORY_BYTES(WRIST_SENSOR_TAPS) / 4];
static int16_t counts[MAX_COUNTS];
static bl_beats stream;
static bl_rhythm rhythm;

static void on_rhythm(void *context, const bl_rhythm_event *e)
{
    uint32_t row[6] = {e->kind, e->start, e->end, e->first, e->last, e->rate};

    (void)context;
    fwrite(row, sizeof *row, 6, stdout);
}

static void on_beat(void *context, const bl_beat_finding *f)
{
    uint8_t role = f->assessable ? wrist_roles[f->class_number] : BL_ROLE_NONE;

    (void)context;
    bl_rhythm_push(&rhythm, f->peak, f->rr, role, on_rhythm, 0);
}

int main(void)
{
    uint32_t count = (uint32_t)fread(counts, 2, MAX_COUNTS, stdin);
    uint32_t half = count / 2;
    int rc = bl_beats_init(&stream, &wrist, &wrist_sensor, memory,
                           sizeof memory);

    bl_rhythm_init(&rhythm, &wrist_rhythms);
    if (rc == BL_OK)
        rc = bl_beats_push(&stream, counts, half, on_beat, 0);
    if (rc == BL_OK)
        rc = bl_beats_gap(&stream, LOST, on_beat, 0);
    if (rc == BL_OK)
        rc = bl_beats_push(&stream, counts + half, count - half, on_beat, 0);
    if (rc == BL_OK)
        rc = bl_beats_end(&stream, on_beat, 0);
    bl_rhythm_end(&rhythm, on_rhythm, 0);
    return rc == BL_OK ? 0 : 1;
}
