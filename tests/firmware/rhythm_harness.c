/*
 * Runs the C of rhythms, for the tests.
 *
 * In:  7 settings, then a beat's R peak, RR interval and role, and so on to
 *      the end of the file; all uint32, little-endian.
 * Out: rows of 12 uint32: for every rhythm its kind, start, end, first, last,
 *      rate, least, most, and beats by role; after every beat a row of
 *      UINT32_MAX and the mask of what goes on. After the end of the stream
 *      the same beats once more, without rows, which have to give as many.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bl_rhythm.h"

enum { ROW = 12, SETTINGS = 7 };

typedef struct {
    uint32_t count;
    int silent;
} counter;

static void write_row(const uint32_t *row)
{
    fwrite(row, sizeof *row, ROW, stdout);
}

static void write_event(void *context, const bl_rhythm_event *e)
{
    counter *c = context;
    uint32_t row[ROW] = {e->kind, e->start, e->end, e->first,
                         e->last, e->rate,  e->least, e->most,
                         e->beats[0], e->beats[1], e->beats[2], e->beats[3]};

    c->count++;
    if (!c->silent)
        write_row(row);
}

static uint32_t *read_all(size_t *count)
{
    size_t room = 1 << 16, got;
    uint32_t *words = NULL;

    *count = 0;
    do {
        uint32_t *more = realloc(words, (room *= 2) * sizeof *words);

        if (more == NULL)
            exit(2);
        words = more;
        got = fread(words + *count, sizeof *words, room - *count, stdin);
        *count += got;
    } while (got > 0);
    return words;
}

int main(void)
{
    size_t count, i;
    uint32_t *w = read_all(&count);
    uint32_t found[2] = {0, 0};
    bl_rhythm_settings settings;
    bl_rhythm *r = malloc(sizeof *r);
    int run;

    if (r == NULL || count < SETTINGS || (count - SETTINGS) % 3 != 0)
        return 2;
    settings.bradycardia_below = (uint16_t)w[0];
    settings.bradycardia_until = (uint16_t)w[1];
    settings.tachycardia_above = (uint16_t)w[2];
    settings.tachycardia_until = (uint16_t)w[3];
    settings.run_above = (uint16_t)w[4];
    settings.pause = (uint16_t)w[5];
    settings.cycles = (uint8_t)w[6];
    bl_rhythm_init(r, &settings);
    for (run = 0; run < 2; run++) {
        counter c = {0, 0};

        c.silent = run;
        for (i = SETTINGS; i < count; i += 3) {
            uint32_t row[ROW] = {UINT32_MAX};

            bl_rhythm_push(r, w[i], w[i + 1], (uint8_t)w[i + 2], write_event,
                           &c);
            row[1] = bl_rhythm_going(r);
            if (!run)
                write_row(row);
        }
        bl_rhythm_end(r, write_event, &c);
        found[run] = c.count;
    }
    for (i = SETTINGS; i < count; i += 3) /* without anybody to tell */
        bl_rhythm_push(r, w[i], w[i + 1], (uint8_t)w[i + 2], 0, 0);
    bl_rhythm_end(r, 0, 0);
    free(r);
    free(w);
    return found[0] == found[1] ? 0 : 3;
}
