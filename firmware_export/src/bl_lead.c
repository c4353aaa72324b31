/* A lead: front end, network, columns; see ../include/bl_lead.h. */

#include "bl_lead.h"

static const bl_quality no_quality = {0, 0, 0, 0, 0, 0};
static const bl_defects no_defects = {0, 0, 0, 0, 0, 0, 0};

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Columns */

void bl_lead_count(const bl_lead *l, uint32_t place, uint32_t times,
                   bl_defects *d)
{
    const bl_quality *q = &l->quality[place];

    d->flat += times * q->flat;
    d->saturated += times * q->saturated;
    d->clipped += times * q->clipped;
    d->unusable += times * q->unusable;
    d->noisy += times * q->noisy;
    d->lost += q->marks & BL_LOST ? times * l->config->stride : 0;
    d->padded += q->marks & BL_PADDED ? times : 0;
}

void bl_lead_sum_defects(const bl_lead *l, uint32_t start, uint32_t columns,
                         bl_defects *d)
{
    uint32_t i;

    *d = no_defects;
    for (i = start; i < start + columns; i++)
        bl_lead_count(l, i % l->config->kept, 1, d);
}

static uint32_t is_padded(const bl_lead *l, uint32_t column)
{
    return l->quality[column % l->config->kept].marks & BL_PADDED ? 1 : 0;
}

uint32_t bl_lead_padded_ends(const bl_lead *l, uint32_t start, uint32_t columns)
{
    if (columns == 0)
        return 0;
    return is_padded(l, start) | is_padded(l, start + columns - 1) << 1;
}

uint8_t bl_lead_is_assessable(const bl_defects *d, const bl_limits *limits)
{
    return d->lost == 0 && d->unusable <= limits->max_unusable &&
           d->clipped <= limits->max_clipped;
}

int8_t bl_lead_evidence(const bl_lead *l, uint32_t column,
                        uint32_t class_number)
{
    uint32_t place = column % l->config->kept;

    return l->evidence[place * l->config->model->classes + class_number];
}

static void add_column(bl_lead *l, const int8_t *evidence, bl_quality quality)
{
    uint32_t place = l->columns % l->config->kept;
    uint32_t classes = l->config->model->classes, c;

    if (l->columns >= l->config->kept && l->chain->forget != 0)
        l->chain->forget(l->state, place);
    for (c = 0; c < classes; c++)
        l->evidence[place * classes + c] = evidence == 0 ? 0 : evidence[c];
    l->quality[place] = quality;
    l->columns++;
    if (l->chain->column != 0)
        l->chain->column(l->state, place);
}

static void add_lost(bl_lead *l, uint32_t count)
{
    bl_quality lost = no_quality;

    lost.marks = BL_LOST;
    while (count-- > 0)
        add_column(l, 0, lost);
}

/* Adds the columns up to `end`, whose samples are lost. */
static void add_gap(bl_lead *l, uint32_t end)
{
    if (end <= l->columns)
        return;
    add_lost(l, smaller(end - l->columns, l->config->kept));
    if (end > l->columns)
        l->columns += l->chain->gap != 0 ? l->chain->gap(l->state, end)
                                         : end - l->columns;
    add_lost(l, end - l->columns);
}

/* Segments free of gaps */

static void take_evidence(void *lead, const int8_t *evidence)
{
    bl_lead *l = lead;
    const bl_lead_config *g = l->config;
    uint32_t first = l->done * g->stride; /* of its samples */
    bl_quality quality;

    if (l->done >= l->wanted)
        return;
    quality = l->waiting[l->first_waiting];
    l->first_waiting++;
    if (l->first_waiting == l->waits)
        l->first_waiting = 0;
    l->waiting_count--;
    if (first < g->left || first + g->stride + g->right > l->samples)
        quality.marks |= BL_PADDED;
    l->done++;
    add_column(l, evidence, quality);
}

static void run_network(bl_lead *l)
{
    (void)bl_net_push(&l->net, l->x, l->filled, take_evidence, l);
    l->filled = 0;
}

/* Gives the network a sample, `times` times. */
static void feed(bl_lead *l, int8_t x, uint32_t times)
{
    while (times-- > 0) {
        l->x[l->filled++] = x;
        if (l->filled == l->config->model->chunk)
            run_network(l);
    }
}

static void note_quality(bl_lead *l, uint32_t flags)
{
    if (flags & BL_FLAT)
        l->now.flat++;
    if (flags & BL_SATURATED)
        l->now.saturated++;
    if (flags & BL_CLIPPED)
        l->now.clipped++;
    if (flags & BL_NOISY)
        l->now.noisy++;
    if (flags & (BL_FLAT | BL_SATURATED))
        l->now.unusable++;
    if (l->samples % l->config->stride == 0) {
        l->waiting[(l->first_waiting + (uint32_t)l->waiting_count) % l->waits] =
            l->now;
        l->waiting_count++;
        l->now = no_quality;
    }
}

static void take_samples(bl_lead *l, const bl_sample *samples, int count)
{
    int i;

    for (i = 0; i < count; i++) {
        if (l->samples == 0) /* as if the first one had been held before */
            feed(l, samples[i].x, l->config->left);
        l->samples++;
        l->last = samples[i].x;
        note_quality(l, samples[i].flags);
        if (l->chain->sample != 0)
            l->chain->sample(l->state, samples[i].x);
        feed(l, samples[i].x, 1);
    }
}

static void begin_segment(bl_lead *l)
{
    add_gap(l, l->position);
    (void)bl_frontend_init(&l->frontend, l->sensor, l->ring, l->sensor->width);
    bl_net_reset(&l->net);
    l->now = no_quality;
    l->samples = l->done = 0;
    l->wanted = UINT32_MAX;
    l->first_waiting = l->waiting_count = l->filled = 0;
    l->running = 1;
}

/* Ends it after `columns` columns, or after as many as its samples are enough
 * for. */
static void end_segment(bl_lead *l, uint32_t columns)
{
    bl_sample out[BL_FRONTEND_MAX];
    int count;

    l->wanted = columns;
    while ((count = bl_frontend_end(&l->frontend, out)) > 0)
        take_samples(l, out, count);
    l->wanted = smaller(columns, l->samples / l->config->stride);
    feed(l, l->last, l->config->right);
    run_network(l);
    l->running = 0;
    if (l->chain->segment != 0)
        l->chain->segment(l->state);
}

/* Counts */

static void advance(bl_lead *l, uint32_t counts)
{
    l->position += counts / l->step * l->step_columns;
    l->within += counts % l->step * l->sensor->up;
    l->position += l->within / l->grid;
    l->within %= l->grid;
}

static void take_count(bl_lead *l, int16_t count)
{
    bl_sample out[BL_FRONTEND_MAX];

    if (!l->running) {
        if (l->within != 0) { /* columns begin with a count: this one is lost */
            advance(l, 1);
            return;
        }
        begin_segment(l);
    }
    advance(l, 1);
    take_samples(l, out, bl_frontend_push(&l->frontend, count, out));
}

int bl_lead_push(bl_lead *l, const int16_t *counts, uint32_t count)
{
    if (l->ended)
        return BL_ERROR_ENDED;
    while (count-- > 0)
        take_count(l, *counts++);
    if (l->running)
        run_network(l);
    return BL_OK;
}

int bl_lead_gap(bl_lead *l, uint32_t counts)
{
    if (l->ended)
        return BL_ERROR_ENDED;
    if (counts == 0)
        return BL_OK;
    if (l->running) /* only columns that are there as a whole are added */
        end_segment(l, l->position - (l->columns - l->done));
    advance(l, counts);
    return BL_OK;
}

int bl_lead_end(bl_lead *l)
{
    if (l->ended)
        return BL_ERROR_ENDED;
    if (l->running)
        end_segment(l, UINT32_MAX);
    else
        add_gap(l, l->position);
    l->ended = 1;
    return BL_OK;
}

/* Beginning */

uint32_t bl_lead_waiting_columns(const bl_lead_config *g)
{
    return ((uint32_t)g->right + g->model->chunk) / g->stride + 2;
}

static int is_sound(const bl_lead_config *g)
{
    return g->model->leads == 1 && g->model->window == 0 && g->kept > 0 &&
           g->stride > 0 && g->model->classes > 0 &&
           g->model->classes <= BL_MAX_CLASSES;
}

/* Counts after which a column begins with one: grid / gcd(grid, up). */
static void set_grid(bl_lead *l)
{
    uint32_t a, b = l->sensor->up, rest;

    l->grid = (uint32_t)l->sensor->down * l->config->stride;
    for (a = l->grid; b > 0; b = rest) {
        rest = a % b;
        a = b;
    }
    l->step = l->grid / a;
    l->step_columns = l->sensor->up / a;
}

uint32_t bl_lead_memory_bytes(const bl_lead_config *g, const bl_sensor *sensor)
{
    uint32_t bytes = g->model->state_bytes + 2u * sensor->width;

    bytes += (uint32_t)g->kept * g->model->classes + g->model->chunk;
    bytes += (g->kept + bl_lead_waiting_columns(g)) *
             (uint32_t)sizeof(bl_quality);
    return (bytes + 3) / 4 * 4;
}

int bl_lead_init(bl_lead *l, const bl_lead_config *g, const bl_sensor *sensor,
                 uint32_t *memory, uint32_t bytes, uint32_t own)
{
    const bl_model *m = g->model;
    int8_t *rest;

    if (!is_sound(g))
        return BL_ERROR_TASK;
    if (memory == 0 || bytes < own + bl_lead_memory_bytes(g, sensor))
        return BL_ERROR_MEMORY;
    l->config = g;
    l->sensor = sensor;
    memory += own / 4;
    if (bl_net_init(&l->net, m, memory, m->state_bytes) != BL_OK)
        return BL_ERROR_TASK;
    l->ring = (int16_t *)(memory + m->state_bytes / 4);
    if (bl_frontend_init(&l->frontend, sensor, l->ring, sensor->width) != BL_OK)
        return BL_ERROR_SENSOR;
    rest = (int8_t *)(l->ring + sensor->width);
    l->waits = (uint16_t)bl_lead_waiting_columns(g);
    l->quality = (bl_quality *)rest; /* all bytes: no alignment to keep */
    l->waiting = l->quality + g->kept;
    l->evidence = (int8_t *)(l->waiting + l->waits);
    l->x = l->evidence + (uint32_t)g->kept * m->classes;
    l->columns = l->position = l->within = 0;
    l->running = l->ended = 0;
    set_grid(l);
    return BL_OK;
}
