/* Seconds of a recording through the whole chain of beats: SECONDS of it. */
#include "input.h" /* input, RATE counts a second, over and over: SIZE */
#include "model.h"
#include "model_sensor.h"

static uint32_t memory[MODEL_MEMORY_BYTES(MODEL_SENSOR_TAPS) / 4];
static bl_beats beats;

static void take(void *context, const bl_beat_finding *f)
{
    *(uint32_t *)context += f->assessable;
}

int main(void)
{
    uint32_t found = 0, i;
    int rc = bl_beats_init(&beats, &model, &model_sensor, memory, sizeof memory);

    for (i = 0; rc == BL_OK && i < SECONDS; i++)
        rc = bl_beats_push(&beats, input + i * RATE % SIZE, RATE, take, &found);
    return rc != BL_OK || found == 0;
}
