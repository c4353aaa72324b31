/* Counts in, findings out; see ../include/beatlens.h. */

#include "beatlens.h"

static const bl_quality nothing = {0, 0, 0, 0, 0, 0};
static const bl_defects none = {0, 0, 0, 0, 0, 0, 0};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Counts a column's defects, or with `one` as -1, which wraps, no more. */
static void count_defects(bl_defects *d, const bl_quality *q, uint32_t one,
                          uint32_t stride)
{
    d->flat += one * q->flat;
    d->saturated += one * q->saturated;
    d->clipped += one * q->clipped;
    d->unusable += one * q->unusable;
    d->noisy += one * q->noisy;
    d->lost += q->marks & BL_LOST ? one * stride : 0;
    d->padded += q->marks & BL_PADDED ? one : 0;
}

/* Findings */

static void begin_finding(const bl_stream *s, bl_finding *f, uint32_t start,
                          uint32_t columns)
{
    f->start = start;
    f->columns = columns;
    f->decisions = 0;
    f->sums = s->sums;
    f->defects = none;
    f->assessable = f->doubts = 0;
}

static void hand_out(bl_stream *s, const bl_finding *f)
{
    if (s->on_finding != 0)
        s->on_finding(s->context, s, f);
}

/* The span that the newest column completes. */
static void assess(bl_stream *s)
{
    const bl_task *t = s->task;
    bl_finding f;
    uint32_t c;

    begin_finding(s, &f, s->next, t->span);
    f.defects = s->defects;
    f.assessable = f.defects.lost == 0 &&
                   f.defects.unusable <= t->most_unusable &&
                   f.defects.clipped <= t->most_clipped;
    for (c = 0; f.assessable && c < t->model->classes; c++)
        if (s->sums[c] >= t->sum_thresholds[c])
            f.decisions |= UINT32_C(1) << c;
    if (f.assessable && f.defects.noisy > t->most_noisy)
        f.doubts = BL_DOUBT_NOISE;
    hand_out(s, &f);
}

/* All spans inside a long gap at once. */
static void say_lost(bl_stream *s, uint32_t columns)
{
    bl_finding f;

    begin_finding(s, &f, s->next, columns);
    f.defects.lost = columns * s->task->stride;
    hand_out(s, &f);
}

bl_defects bl_defects_of(const bl_stream *s, uint32_t start, uint32_t columns)
{
    bl_defects found = none;
    uint32_t i;

    for (i = start; i < start + columns; i++)
        count_defects(&found, &s->quality[i % s->task->span], 1,
                      s->task->stride);
    return found;
}

/* What came behind the last span. */
static void say_rest(bl_stream *s)
{
    const bl_task *t = s->task;
    uint32_t covered = s->next > 0 ? s->next - t->hop + t->span : 0;
    bl_finding f;

    if (covered > s->position || (covered == s->position && s->within == 0))
        return;
    begin_finding(s, &f, covered, s->columns - covered);
    f.defects = bl_defects_of(s, f.start, f.columns);
    hand_out(s, &f);
}

int8_t bl_evidence(const bl_stream *s, const bl_finding *f, uint32_t column,
                   uint32_t class_number)
{
    uint32_t place = (f->start + column) % s->task->span;

    return s->evidence[place * s->task->model->classes + class_number];
}

/* Columns */

/* Adds a column to the sums of the span, or takes it off them. */
static void account(bl_stream *s, uint32_t place, int32_t sign)
{
    uint32_t classes = s->task->model->classes, c;

    for (c = 0; c < classes; c++)
        s->sums[c] += sign * s->evidence[place * classes + c];
    count_defects(&s->defects, &s->quality[place], (uint32_t)sign,
                  s->task->stride);
}

static void add_column(bl_stream *s, const int8_t *evidence, bl_quality quality)
{
    const bl_task *t = s->task;
    uint32_t place = s->columns % t->span, classes = t->model->classes, c;

    if (s->columns >= t->span)
        account(s, place, -1);
    for (c = 0; c < classes; c++)
        s->evidence[place * classes + c] = evidence == 0 ? 0 : evidence[c];
    s->quality[place] = quality;
    account(s, place, 1);
    s->columns++;
    if (s->columns == s->next + t->span) {
        assess(s);
        s->next += t->hop;
    }
}

static void add_lost(bl_stream *s, uint32_t count)
{
    bl_quality lost = nothing;

    lost.marks = BL_LOST;
    while (count-- > 0)
        add_column(s, 0, lost);
}

/* Columns up to `until`, of which no sample came. */
static void add_gap(bl_stream *s, uint32_t until)
{
    const bl_task *t = s->task;

    if (until <= s->columns)
        return;
    add_lost(s, smaller(until - s->columns, t->span));
    /* All columns of the ring are lost ones now, if any are left to add. */
    if (until > s->columns && until >= s->next + t->span + t->hop) {
        uint32_t hops = (until - t->span - s->next) / t->hop;

        say_lost(s, (hops - 1) * t->hop + t->span);
        s->next += hops * t->hop;
        s->columns += hops * t->hop;
    }
    add_lost(s, until - s->columns);
}

/* A stretch of signal without a gap */

static void on_column(void *context, const int8_t *evidence)
{
    bl_stream *s = context;
    const bl_task *t = s->task;
    uint32_t first = s->done * t->stride; /* of its samples */
    bl_quality quality;

    if (s->done >= s->most)
        return;
    quality = s->waiting[s->first_waiting];
    s->first_waiting++;
    if (s->first_waiting == s->waits)
        s->first_waiting = 0;
    s->waiting_count--;
    if (first < t->left || first + t->stride + t->right > s->samples)
        quality.marks |= BL_PADDED;
    s->done++;
    add_column(s, evidence, quality);
    if (s->listener != 0)
        s->listener->column(s->listening);
}

static void run_network(bl_stream *s)
{
    (void)bl_net_push(&s->net, s->x, s->filled, on_column, s);
    s->filled = 0;
}

static void put(bl_stream *s, int8_t x, uint32_t times)
{
    while (times-- > 0) {
        s->x[s->filled++] = x;
        if (s->filled == s->task->model->chunk)
            run_network(s);
    }
}

static void note_quality(bl_stream *s, uint32_t flags)
{
    if (flags & BL_FLAT)
        s->now.flat++;
    if (flags & BL_SATURATED)
        s->now.saturated++;
    if (flags & BL_CLIPPED)
        s->now.clipped++;
    if (flags & BL_NOISY)
        s->now.noisy++;
    if (flags & (BL_FLAT | BL_SATURATED))
        s->now.unusable++;
    if (s->samples % s->task->stride == 0) {
        s->waiting[(s->first_waiting + (uint32_t)s->waiting_count) % s->waits] =
            s->now;
        s->waiting_count++;
        s->now = nothing;
    }
}

static void take_samples(bl_stream *s, const bl_sample *samples, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        if (s->samples == 0) /* as if the first one had been held before */
            put(s, samples[i].x, s->task->left);
        s->samples++;
        s->last = samples[i].x;
        note_quality(s, samples[i].flags);
        if (s->listener != 0)
            s->listener->sample(s->listening, samples[i].x);
        put(s, samples[i].x, 1);
    }
}

static void begin_stretch(bl_stream *s)
{
    add_gap(s, s->position);
    (void)bl_frontend_init(&s->frontend, s->sensor, s->ring, s->sensor->width);
    bl_net_reset(&s->net);
    s->now = nothing;
    s->samples = s->done = 0;
    s->most = UINT32_MAX;
    s->first_waiting = s->waiting_count = s->filled = 0;
    s->running = 1;
}

/* Ends it after `most` columns, or after as many as fit into its samples. */
static void end_stretch(bl_stream *s, uint32_t most)
{
    bl_sample out[BL_FRONTEND_MOST];
    int count;

    s->most = most;
    while ((count = bl_frontend_end(&s->frontend, out)) > 0)
        take_samples(s, out, count);
    s->most = smaller(most, s->samples / s->task->stride);
    put(s, s->last, s->task->right);
    run_network(s);
    s->running = 0;
    if (s->listener != 0)
        s->listener->stretch(s->listening);
}

/* Interface */

static void advance(bl_stream *s, uint32_t counts)
{
    s->position += counts / s->step * s->step_columns;
    s->within += counts % s->step * s->sensor->up;
    s->position += s->within / s->grid;
    s->within %= s->grid;
}

static void take_count(bl_stream *s, int16_t count)
{
    bl_sample out[BL_FRONTEND_MOST];

    if (!s->running) {
        if (s->within != 0) { /* columns begin with a count: this one is lost */
            advance(s, 1);
            return;
        }
        begin_stretch(s);
    }
    advance(s, 1);
    take_samples(s, out, bl_frontend_push(&s->frontend, count, out));
}

static uint32_t waits_of(const bl_task *t)
{
    return ((uint32_t)t->right + t->model->chunk) / t->stride + 2;
}

static uint32_t bytes_of_columns(const bl_task *t)
{
    return (uint32_t)t->span * t->model->classes +
           (t->span + waits_of(t)) * (uint32_t)sizeof(bl_quality) +
           t->model->chunk;
}

uint32_t bl_memory_bytes(const bl_task *t, const bl_sensor *sensor)
{
    uint32_t bytes = t->model->state_bytes + 4u * t->model->classes;

    bytes += 2u * sensor->width + bytes_of_columns(t);
    return (bytes + 3) / 4 * 4;
}

static int sound(const bl_task *t)
{
    return t->model->leads == 1 && t->model->window == 0 && t->hop > 0 &&
           t->hop <= t->span && t->stride > 0 && t->model->classes > 0 &&
           t->model->classes <= BL_MOST_CLASSES;
}

/* Counts after which a column begins with one: grid / gcd(grid, up). */
static void set_grid(bl_stream *s)
{
    uint32_t a, b = s->sensor->up, rest;

    s->grid = (uint32_t)s->sensor->down * s->task->stride;
    for (a = s->grid; b > 0; b = rest) {
        rest = a % b;
        a = b;
    }
    s->step = s->grid / a;
    s->step_columns = s->sensor->up / a;
}

int bl_init(bl_stream *s, const bl_task *task, const bl_sensor *sensor,
            uint32_t *memory, uint32_t bytes)
{
    const bl_model *m = task->model;
    uint32_t classes = m->classes, c;
    int8_t *rest;

    if (!sound(task))
        return BL_ERROR_TASK;
    if (memory == 0 || bytes < bl_memory_bytes(task, sensor))
        return BL_ERROR_ROOM;
    s->task = task;
    s->sensor = sensor;
    s->listener = 0;
    s->listening = 0;
    if (bl_net_init(&s->net, m, memory, m->state_bytes) != BL_NET_OK)
        return BL_ERROR_TASK;
    memory += m->state_bytes / 4;
    s->sums = (int32_t *)memory;
    s->ring = (int16_t *)(memory + classes);
    if (bl_frontend_init(&s->frontend, sensor, s->ring, sensor->width) !=
        BL_FRONTEND_OK)
        return BL_ERROR_SENSOR;
    rest = (int8_t *)(s->ring + sensor->width);
    s->waits = (uint16_t)waits_of(task);
    s->quality = (bl_quality *)rest; /* all bytes: no alignment to keep */
    s->waiting = s->quality + task->span;
    s->evidence = (int8_t *)(s->waiting + s->waits);
    s->x = s->evidence + task->span * classes;
    for (c = 0; c < classes; c++)
        s->sums[c] = 0;
    s->defects = none;
    s->columns = s->next = s->position = s->within = 0;
    s->running = s->ended = 0;
    set_grid(s);
    return BL_OK;
}

void bl_listen(bl_stream *s, const bl_listener *listener, void *state)
{
    s->listener = listener;
    s->listening = state;
}

static int begin_call(bl_stream *s, bl_on_finding on_finding, void *context)
{
    s->on_finding = on_finding;
    s->context = context;
    return s->ended ? BL_ERROR_ENDED : BL_OK;
}

int bl_push(bl_stream *s, const int16_t *counts, uint32_t count,
            bl_on_finding on_finding, void *context)
{
    int rc = begin_call(s, on_finding, context);

    if (rc != BL_OK)
        return rc;
    while (count-- > 0)
        take_count(s, *counts++);
    if (s->running)
        run_network(s);
    return BL_OK;
}

int bl_gap(bl_stream *s, uint32_t counts, bl_on_finding on_finding,
           void *context)
{
    int rc = begin_call(s, on_finding, context);

    if (rc != BL_OK || counts == 0)
        return rc;
    if (s->running) /* only columns that are there as a whole are kept */
        end_stretch(s, s->position - (s->columns - s->done));
    advance(s, counts);
    return BL_OK;
}

int bl_end(bl_stream *s, bl_on_finding on_finding, void *context)
{
    int rc = begin_call(s, on_finding, context);

    if (rc != BL_OK)
        return rc;
    if (s->running)
        end_stretch(s, UINT32_MAX);
    else
        add_gap(s, s->position);
    say_rest(s);
    s->ended = 1;
    return BL_OK;
}
