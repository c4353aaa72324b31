/*
 * libFuzzer: the detector of R peaks, on any samples. Asserts what
 * firmware_export/SECURITY.md promises of it; Q1 to Q4 are its numbers.
 *
 * The first byte is how often the samples behind it come, so that streams
 * get long. The state is a block of exactly its size: Q4.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bl_qrs.h"
#include "promise.h"

#define MOST_TIMES 16
#define APART 26 /* samples from a peak to the next one, at least */
#define MOST_PEAKS (MOST_TIMES * 4096 / APART)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    uint32_t at[MOST_PEAKS];
    uint32_t count;
    uint32_t pushed;
} peaks;

static void listen(void *context, uint32_t sample)
{
    peaks *p = context;

    PROMISE(p->count < MOST_PEAKS);
    PROMISE(p->count == 0 || sample >= p->at[p->count - 1] + APART); /* Q1 */
    PROMISE(sample < p->pushed);                                     /* Q2 */
    p->at[p->count++] = sample;
}

static void run(bl_qrs *q, const uint8_t *data, size_t size, uint32_t times,
                peaks *p)
{
    size_t i;

    p->count = p->pushed = 0;
    for (; times > 0; times--)
        for (i = 0; i < size; i++) {
            p->pushed++;
            bl_qrs_push(q, (int8_t)data[i], listen, p);
        }
    bl_qrs_end(q, listen, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static peaks first, again;
    uint32_t times;
    bl_qrs *q;

    if (size < 2 || size > 4096)
        return 0;
    times = data[0] % MOST_TIMES + 1u;
    q = malloc(sizeof *q);
    PROMISE(q != NULL);
    memset(q, 0x55, sizeof *q);
    bl_qrs_init(q, 75);
    run(q, data + 1, size - 1, times, &first);
    run(q, data + 1, size - 1, times, &again); /* begun anew by the end */
    PROMISE(first.count == again.count); /* Q3 */
    PROMISE(memcmp(first.at, again.at, first.count * sizeof first.at[0]) == 0);
    free(q);
    return 0;
}
