/*
 * Runs the C front end over a recording from stdin, for the tests.
 *
 * In:  int16 counts, little-endian, to the end of the file.
 * Out: per sample at 128 Hz its value and its flags, a byte each.
 *
 * The ring is a block of exactly its size, so that a sanitizer sees every
 * access beside it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sensor.h"

static void write_samples(const bl_sample *out, int ready)
{
    int i;

    for (i = 0; i < ready; i++) {
        putchar((unsigned char)out[i].x);
        putchar(out[i].flags);
    }
}

static int refuses(bl_frontend *f, bl_sensor changed, int16_t *ring)
{
    return bl_frontend_init(f, &changed, ring, changed.width) ==
           BL_ERROR_SENSOR;
}

/* Everything an init refuses; 0 if it does. */
static int check_refusals(bl_frontend *f, int16_t *ring)
{
    bl_sensor odd = sensor, phases = sensor, slow = sensor, rails = sensor,
              shift = sensor, gain = sensor;
    bl_sample out[BL_FRONTEND_MAX];

    odd.width--;
    phases.up = 0;
    slow.down = (uint16_t)(slow.up / 3);
    rails.low = rails.high;
    shift.scale.shift = 63;
    gain.gain.multiplier = 0;
    if (!refuses(f, odd, ring) || !refuses(f, phases, ring) ||
        !refuses(f, slow, ring) || !refuses(f, rails, ring) ||
        !refuses(f, shift, ring) || !refuses(f, gain, ring))
        return 3;
    if (bl_frontend_init(f, &sensor, ring, sensor.width - 1u) !=
        BL_ERROR_MEMORY)
        return 4;
    if (bl_frontend_init(f, &sensor, ring, sensor.width) != BL_OK ||
        bl_frontend_end(f, out) != BL_ERROR_EMPTY)
        return 5;
    return 0;
}

int main(void)
{
    int16_t *ring = malloc(sensor.width * sizeof *ring), count;
    bl_sample out[BL_FRONTEND_MAX];
    bl_frontend f;
    int rc;

    if (ring == NULL || sensor.width != SENSOR_TAPS)
        return 2;
    rc = check_refusals(&f, ring);
    if (rc != 0)
        return rc;
    while (fread(&count, sizeof count, 1, stdin) == 1) {
        rc = bl_frontend_push(&f, count, out);
        if (rc < 0 || rc > BL_FRONTEND_MAX)
            return 6;
        write_samples(out, rc);
    }
    while ((rc = bl_frontend_end(&f, out)) > 0)
        write_samples(out, rc);
    if (rc != 0 || bl_frontend_end(&f, out) != 0 ||
        bl_frontend_push(&f, 0, out) != BL_ERROR_ENDED)
        return 7;
    free(ring);
    return 0;
}
