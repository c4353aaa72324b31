/* Seconds of a recording through a whole chain, for counting instructions:
 * SECONDS of them. model.h includes the header of the task's chain. */
#include "input.h" /* input, RATE counts a second, over and over: SIZE */
#include "model.h"
#include "model_sensor.h"

static uint32_t memory[MODEL_MEMORY_BYTES(MODEL_SENSOR_TAPS) / 4];
static uint32_t decided;

#ifdef BL_BEATS_H
static bl_beats chain;

static void take(void *context, const bl_beat_finding *f)
{
    (void)context;
    decided += f->assessable;
}

#define INIT bl_beats_init
#define PUSH bl_beats_push
#else
static bl_stream chain;

static void take(void *context, const bl_stream *stream, const bl_finding *f)
{
    (void)context;
    (void)stream;
    decided += f->assessable;
}

#define INIT bl_init
#define PUSH bl_push
#endif

int main(void)
{
    uint32_t i;
    int rc = INIT(&chain, &model, &model_sensor, memory, sizeof memory);

    for (i = 0; rc == BL_OK && i < SECONDS; i++)
        rc = PUSH(&chain, input + i * RATE % SIZE, RATE, take, 0);
    return rc != BL_OK || decided == 0;
}
