/* Beats: R peaks, their contexts and their evidence; see ../include/bl_beats.h.
 *
 * Peaks wait in a queue until the columns around them are there. Then the
 * first is taken: its columns are copied, for it may wait long for the next
 * beat, which its contexts need. */

#include "bl_beats.h"

#define CONTEXTS BL_CONTEXTS
#define BINS BL_CONTEXT_BINS

/* Findings */

static uint32_t is_clipped(const bl_beats *b, const bl_beat_finding *f)
{
    return f->defects.clipped > b->task->clipped_warning;
}

/* Sums evidence and adds what the contexts are worth; the first largest wins,
 * of a clipped beat the first largest of those that it may be. */
static void decide(bl_beats *b, bl_beat_finding *f)
{
    const bl_beat_task *t = b->task;
    uint32_t classes = t->task->model->classes, c, i;
    uint32_t excluded = is_clipped(b, f) ? t->never_clipped : 0, has_best = 0;

    for (c = 0; c < classes; c++) {
        int32_t score = t->offsets[c];

        for (i = 0; i < f->columns; i++)
            score += f->evidence[i * classes + c];
        for (i = 0; i < CONTEXTS; i++)
            score += t->tables[(i * BINS + f->contexts[i]) * classes + c];
        b->scores[c] = score;
        if (excluded >> c & 1)
            continue;
        if (!has_best || score > b->scores[f->class_number])
            f->class_number = (uint8_t)c;
        has_best = 1;
    }
}

/* Whether another class is likelier, or nearly; whether none is spoken for. */
static uint8_t doubts_of(const bl_beats *b, const bl_beat_finding *f)
{
    const bl_beat_task *t = b->task;
    uint32_t classes = t->task->model->classes, c;
    int32_t top = INT32_MIN, other = INT32_MIN, mine = 0;
    uint8_t doubts = 0;

    for (c = 0; c < classes; c++) {
        int32_t score = b->scores[c] - t->offsets[c], likely = score + t->odds[c];

        if (score > top)
            top = score;
        if (c == f->class_number)
            mine = likely;
        else if (likely > other)
            other = likely;
    }
    if (f->defects.noisy > t->most_noisy)
        doubts |= BL_DOUBT_NOISE;
    if (classes > 1 && mine - other < t->close)
        doubts |= BL_DOUBT_CLOSE;
    if (top < t->familiar)
        doubts |= BL_DOUBT_UNFAMILIAR;
    if (is_clipped(b, f))
        doubts |= BL_DOUBT_CLIPPED;
    return doubts;
}

static void hand_out(bl_beats *b)
{
    bl_beat_finding *f = &b->taken;
    uint32_t i, k;

    for (k = 0; k < CONTEXTS; k++)
        f->contexts[k] = b->contexts[0][k];
    b->context_count--;
    for (i = 0; i < b->context_count; i++)
        for (k = 0; k < CONTEXTS; k++)
            b->contexts[i][k] = b->contexts[i + 1][k];
    f->class_number = f->doubts = 0;
    if (f->assessable) {
        decide(b, f);
        f->doubts = doubts_of(b, f);
    }
    if (b->on_beat != 0)
        b->on_beat(b->context, f);
    b->has_taken = 0;
}

static uint32_t is_padded(const bl_stream *s, uint32_t column)
{
    return s->quality[column % s->task->span].marks & BL_PADDED ? 1 : 0;
}

/* Copies the columns of the first peak's beat, from `start` of the stretch. */
static void take(bl_beats *b, uint32_t start, uint32_t columns)
{
    const bl_stream *s = &b->stream;
    const bl_task *t = s->task;
    uint32_t classes = t->model->classes, i, c;
    bl_beat_finding *f = &b->taken;
    bl_finding span;

    span.start = s->columns - s->done; /* of the stretch */
    f->peak = span.start * t->stride + b->peaks[0];
    f->start = span.start += start;
    f->columns = (uint8_t)columns;
    f->defects = bl_defects_of(s, span.start, columns);
    f->assessable = columns > 0 && f->defects.lost == 0 &&
                    f->defects.unusable <= b->task->most_unusable &&
                    f->defects.clipped <= b->task->most_clipped;
    f->padded_ends = 0;
    if (columns > 0)
        f->padded_ends =
            (uint8_t)(is_padded(s, f->start) |
                      is_padded(s, f->start + columns - 1) << 1);
    for (i = 0; i < columns; i++)
        for (c = 0; c < classes; c++)
            b->evidence[i * classes + c] = bl_evidence(s, &span, i, c);
    b->peak_count--;
    for (i = 0; i < b->peak_count; i++)
        b->peaks[i] = b->peaks[i + 1];
    b->has_taken = 1;
}

/* Takes the first peak's beat if `total` columns are enough for it; at the
 * stretch's end it is moved in. */
static int take_next(bl_beats *b, uint32_t total, int ended)
{
    const bl_beat_task *t = b->task;
    uint32_t columns = (uint32_t)t->before + t->after;
    uint32_t column = b->peaks[0] / b->stream.task->stride;
    uint32_t start = column > t->before ? column - t->before : 0;

    if (start + columns > total) {
        if (!ended)
            return 0;
        start = total > columns ? total - columns : 0;
    }
    take(b, start, total < columns ? 0 : columns);
    return 1;
}

static void advance(bl_beats *b, int ended)
{
    for (;;) {
        if (!b->has_taken &&
            (b->peak_count == 0 || !take_next(b, b->stream.done, ended)))
            return;
        if (b->context_count == 0)
            return;
        hand_out(b);
    }
}

/* What a stream tells */

static void note_peak(void *state, uint32_t peak)
{
    bl_beats *b = state;

    if (bl_contexts_push(&b->known, peak, b->contexts[b->context_count]))
        b->context_count++;
    b->peaks[b->peak_count++] = peak;
    advance(b, 0);
}

static void hear_sample(void *state, int8_t x)
{
    bl_beats *b = state;

    bl_contexts_hear(&b->known, x);
    bl_qrs_push(&b->qrs, x, note_peak, b);
}

static void see_column(void *state)
{
    advance(state, 0);
}

static void close_stretch(void *state)
{
    bl_beats *b = state;

    bl_qrs_end(&b->qrs, note_peak, b);
    if (bl_contexts_end(&b->known, b->contexts[b->context_count]))
        b->context_count++;
    advance(b, 1);
    bl_contexts_begin(&b->known);
}

static const bl_listener listener = {hear_sample, see_column,
                                       close_stretch};

/* Interface */

static uint32_t bytes_of_taken(const bl_beat_task *t)
{
    uint32_t classes = t->task->model->classes;

    return 4 * classes + ((uint32_t)t->before + t->after) * classes;
}

uint32_t bl_beats_memory_bytes(const bl_beat_task *task,
                               const bl_sensor *sensor)
{
    uint32_t bytes = bytes_of_taken(task);

    return (bytes + 3) / 4 * 4 + bl_memory_bytes(task->task, sensor);
}

int bl_beats_init(bl_beats *b, const bl_beat_task *task,
                  const bl_sensor *sensor, uint32_t *memory, uint32_t bytes)
{
    uint32_t taken = (bytes_of_taken(task) + 3) / 4;
    int rc;

    if (task->before + task->after > UINT8_MAX || task->after == 0)
        return BL_ERROR_TASK;
    if (memory == 0 || bytes < bl_beats_memory_bytes(task, sensor))
        return BL_ERROR_ROOM;
    rc = bl_init(&b->stream, task->task, sensor, memory + taken,
                 bytes - 4 * taken);
    if (rc != BL_OK)
        return rc;
    b->task = task;
    b->scores = (int32_t *)memory;
    b->evidence = (int8_t *)(memory + task->task->model->classes);
    b->taken.scores = b->scores;
    b->taken.evidence = b->evidence;
    b->peak_count = b->context_count = b->has_taken = 0;
    bl_qrs_init(&b->qrs);
    bl_contexts_begin(&b->known);
    bl_listen(&b->stream, &listener, b);
    return BL_OK;
}

static void begin_call(bl_beats *b, bl_on_beat on_beat, void *context)
{
    b->on_beat = on_beat;
    b->context = context;
}

int bl_beats_push(bl_beats *b, const int16_t *counts, uint32_t count,
                  bl_on_beat on_beat, void *context)
{
    begin_call(b, on_beat, context);
    return bl_push(&b->stream, counts, count, 0, 0);
}

int bl_beats_gap(bl_beats *b, uint32_t counts, bl_on_beat on_beat,
                 void *context)
{
    begin_call(b, on_beat, context);
    return bl_gap(&b->stream, counts, 0, 0);
}

int bl_beats_end(bl_beats *b, bl_on_beat on_beat, void *context)
{
    begin_call(b, on_beat, context);
    return bl_end(&b->stream, 0, 0);
}
