/* Decisions on beats; see ../include/bl_beats.h.
 *
 * R peaks wait in a queue until the columns around them are known. Then the
 * first is taken: its columns are copied, since its features need the next R
 * peak, which may come long after. */

#include "bl_beats.h"

#define FEATURES BL_FEATURES
#define MIN_SHARED 2  /* beats whose mean margin counts */
#define MAX_SHARED 16 /* beats that a mean margin is of */
#define FRACTION 4    /* bits after its point */
#define BINS BL_FEATURE_BINS

/* Findings */

static uint32_t is_clipped(const bl_beats *b, const bl_beat_finding *f)
{
    return f->defects.clipped > b->task->clipped_warning;
}

/* Sums evidence and the features' contributions of each class. */
static void sum_scores(bl_beats *b, const bl_beat_finding *f)
{
    const bl_beat_task *t = b->task;
    uint32_t classes = t->lead.model->classes, c, i;

    for (c = 0; c < classes; c++) {
        int32_t score = 0;

        for (i = 0; i < f->columns; i++)
            score += f->evidence[i * classes + c];
        for (i = 0; i < FEATURES; i++)
            score += t->tables[(i * BINS + f->features[i]) * classes + c];
        b->scores[c] = score;
    }
}

/* The score of the shared class less the largest of the others, each with its
 * log odds; clipped. */
static int32_t find_margin(const bl_beats *b)
{
    const bl_sharing *s = &b->task->sharing;
    const int16_t *odds = b->task->odds;
    uint32_t classes = b->task->lead.model->classes, c;
    int32_t other = INT32_MIN, margin;

    for (c = 0; c < classes; c++)
        if ((s->others >> c & 1) != 0 && b->scores[c] + odds[c] > other)
            other = b->scores[c] + odds[c];
    margin = b->scores[s->class_number] + odds[s->class_number] - other;
    if (margin > s->limit)
        return s->limit;
    return margin < -s->limit ? -s->limit : margin;
}

/* Moves a beat's score of the shared class half of the way to what the last
 * beats of its cluster said, and adds its own margin to theirs. */
static void share(bl_beats *b, bl_beat_finding *f, bl_membership membership)
{
    bl_cluster_margin *m = &b->margins[membership.cluster];
    int32_t margin, difference, part;

    f->shared = 0;
    if (b->task->sharing.limit == 0)
        return;
    if (membership.begins) {
        m->mean = 0;
        m->beats = 0;
    }
    if (!f->assessable)
        return;
    margin = find_margin(b);
    if (m->beats >= MIN_SHARED)
        f->shared = ((m->mean >> FRACTION) - margin) >> 1;
    b->scores[b->task->sharing.class_number] += f->shared;
    if (m->beats < MAX_SHARED)
        m->beats++;
    difference = margin * (1 << FRACTION) - m->mean;
    part = difference / m->beats;
    if (difference % m->beats < 0)
        part--; /* downwards */
    m->mean += part;
}

/* Adds the offsets. The first class with the largest score wins; of a clipped
 * beat, the first of those that are not excluded. */
static void decide(bl_beats *b, bl_beat_finding *f)
{
    const bl_beat_task *t = b->task;
    uint32_t classes = t->lead.model->classes, c;
    uint32_t excluded = is_clipped(b, f) ? t->never_if_clipped : 0;
    uint32_t has_best = 0;

    for (c = 0; c < classes; c++) {
        b->scores[c] += t->offsets[c];
        if (excluded >> c & 1)
            continue;
        if (!has_best || b->scores[c] > b->scores[f->class_number])
            f->class_number = (uint8_t)c;
        has_best = 1;
    }
}

/* Warnings of a decision: a sum of bl_warning. */
static uint8_t find_warnings(const bl_beats *b, const bl_beat_finding *f)
{
    const bl_beat_task *t = b->task;
    uint32_t classes = t->lead.model->classes, c;
    int32_t largest = INT32_MIN, other = INT32_MIN, decided = 0;
    uint8_t warnings = 0;

    for (c = 0; c < classes; c++) {
        int32_t score = b->scores[c] - t->offsets[c];
        int32_t likely = score + t->odds[c];

        if (score > largest)
            largest = score;
        if (c == f->class_number)
            decided = likely;
        else if (likely > other)
            other = likely;
    }
    if (f->defects.noisy > t->limits.max_noisy)
        warnings |= BL_WARNING_NOISY;
    if (classes > 1 && decided - other < t->low_margin)
        warnings |= BL_WARNING_LOW_MARGIN;
    if (largest < t->out_of_distribution)
        warnings |= BL_WARNING_OUT_OF_DISTRIBUTION;
    if (is_clipped(b, f))
        warnings |= BL_WARNING_CLIPPED;
    return warnings;
}

static void hand_out(bl_beats *b)
{
    bl_beat_finding *f = &b->taken;
    bl_membership membership = b->features[0].membership;
    uint32_t i;

    for (i = 0; i < FEATURES; i++)
        f->features[i] = b->features[0].values[i];
    b->feature_count--;
    for (i = 0; i < b->feature_count; i++)
        b->features[i] = b->features[i + 1];
    f->class_number = f->warnings = 0;
    if (f->assessable)
        sum_scores(b, f);
    share(b, f, membership);
    if (f->assessable) {
        decide(b, f);
        f->warnings = find_warnings(b, f);
    }
    if (b->on_beat != 0)
        b->on_beat(b->context, f);
    b->has_taken = 0;
}

/* Samples since the R peak before it, 0 where it is not known; `total` columns
 * of the segment are there, the first of which is `first` of the stream. */
static uint32_t measure_interval(bl_beats *b, uint32_t first, uint32_t total)
{
    const bl_lead *l = &b->lead;
    uint32_t column = b->peaks[0] / l->config->stride, last = b->last_peak;
    uint32_t upto = first + (column < total ? column + 1 : total);
    uint32_t from = b->next_column, known = b->has_last;
    bl_defects between;

    if (l->columns - from > l->config->kept)
        from = l->columns - l->config->kept;
    bl_lead_sum_defects(l, from, from < upto ? upto - from : 0, &between);
    known = known && b->hidden + between.unusable <= BL_BEATS_HIDING;
    b->last_peak = b->peaks[0];
    b->next_column = upto;
    b->hidden = 0;
    b->has_last = 1;
    return known ? b->last_peak - last : 0;
}

/* Copies the columns of the first peak's beat, from `start` of the segment. */
static void take(bl_beats *b, uint32_t start, uint32_t columns, uint32_t total)
{
    const bl_lead *l = &b->lead;
    const bl_lead_config *g = l->config;
    uint32_t classes = g->model->classes, first = l->columns - l->done, i, c;
    bl_beat_finding *f = &b->taken;

    f->peak = first * g->stride + b->peaks[0];
    f->rr = measure_interval(b, first, total);
    f->start = first + start;
    f->columns = (uint8_t)columns;
    bl_lead_sum_defects(l, f->start, columns, &f->defects);
    f->assessable =
        columns > 0 && bl_lead_is_assessable(&f->defects, &b->task->limits);
    f->padded_ends = (uint8_t)bl_lead_padded_ends(l, f->start, columns);
    for (i = 0; i < columns; i++)
        for (c = 0; c < classes; c++)
            b->evidence[i * classes + c] = bl_lead_evidence(l, f->start + i, c);
    b->peak_count--;
    for (i = 0; i < b->peak_count; i++)
        b->peaks[i] = b->peaks[i + 1];
    b->has_taken = 1;
}

/* Takes the first peak's beat if the segment's first `total` columns hold it;
 * at the segment's end it is moved to where they do. Returns whether it did. */
static int take_next(bl_beats *b, uint32_t total, int ended)
{
    const bl_beat_task *t = b->task;
    uint32_t columns = (uint32_t)t->before + t->after;
    uint32_t column = b->peaks[0] / t->lead.stride;
    uint32_t start = column > t->before ? column - t->before : 0;

    if (start + columns > total) {
        if (!ended)
            return 0;
        start = total > columns ? total - columns : 0;
    }
    take(b, start, total < columns ? 0 : columns, total);
    return 1;
}

static void advance(bl_beats *b, int ended)
{
    for (;;) {
        if (!b->has_taken &&
            (b->peak_count == 0 || !take_next(b, b->lead.done, ended)))
            return;
        if (b->feature_count == 0)
            return;
        hand_out(b);
    }
}

/* What a lead calls */

static void add_peak(void *beats, uint32_t peak)
{
    bl_beats *b = beats;

    if (bl_features_add_peak(&b->rhythm, peak, &b->features[b->feature_count]))
        b->feature_count++;
    b->peaks[b->peak_count++] = peak;
    advance(b, 0);
}

static void add_sample(void *beats, int8_t x)
{
    bl_beats *b = beats;

    bl_features_add_sample(&b->rhythm, x);
    bl_qrs_push(&b->qrs, x, add_peak, b);
}

/* The oldest column kept is replaced: keeps the number of its bad samples. */
static void forget_beat_column(void *beats, uint32_t place)
{
    bl_beats *b = beats;
    const bl_lead *l = &b->lead;

    if (b->has_last && l->columns - l->config->kept >= b->next_column)
        b->hidden += l->quality[place].unusable;
}

static void add_beat_column(void *beats, uint32_t place)
{
    (void)place;
    advance(beats, 0);
}

static void end_beats(void *beats)
{
    bl_beats *b = beats;

    bl_qrs_end(&b->qrs, add_peak, b);
    if (bl_features_end(&b->rhythm, &b->features[b->feature_count]))
        b->feature_count++;
    advance(b, 1);
    bl_features_begin(&b->rhythm);
    b->has_last = 0;
}

static const bl_chain beat_chain = {add_sample, forget_beat_column,
                                    add_beat_column, 0, end_beats};

/* Interface */

/* Bytes of a beat's scores and evidence, a multiple of 4. */
static uint32_t count_own_bytes(const bl_beat_task *t)
{
    uint32_t classes = t->lead.model->classes;
    uint32_t evidence = ((uint32_t)t->before + t->after) * classes;

    return 4 * classes + (evidence + 3) / 4 * 4;
}

uint32_t bl_beats_memory_bytes(const bl_beat_task *t, const bl_sensor *sensor)
{
    return count_own_bytes(t) + bl_lead_memory_bytes(&t->lead, sensor);
}

int bl_beats_init(bl_beats *b, const bl_beat_task *task,
                  const bl_sensor *sensor, uint32_t *memory, uint32_t bytes)
{
    uint32_t i;
    int rc;

    if (task->before + task->after > UINT8_MAX || task->after == 0)
        return BL_ERROR_TASK;
    rc = bl_lead_init(&b->lead, &task->lead, sensor, memory, bytes,
                      count_own_bytes(task));
    if (rc != BL_OK)
        return rc;
    b->lead.chain = &beat_chain;
    b->lead.state = b;
    b->task = task;
    b->scores = (int32_t *)memory;
    b->evidence = (int8_t *)(memory + task->lead.model->classes);
    b->taken.scores = b->scores;
    b->taken.evidence = b->evidence;
    b->peak_count = b->feature_count = b->has_taken = b->has_last = 0;
    b->last_peak = b->next_column = b->hidden = 0;
    for (i = 0; i < BL_PATIENT_CLUSTERS; i++) {
        b->margins[i].mean = 0;
        b->margins[i].beats = 0;
    }
    bl_qrs_init(&b->qrs, task->qrs_floor);
    bl_features_init(&b->rhythm);
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
    return bl_lead_push(&b->lead, counts, count);
}

int bl_beats_gap(bl_beats *b, uint32_t counts, bl_on_beat on_beat,
                 void *context)
{
    begin_call(b, on_beat, context);
    return bl_lead_gap(&b->lead, counts);
}

int bl_beats_end(bl_beats *b, bl_on_beat on_beat, void *context)
{
    begin_call(b, on_beat, context);
    return bl_lead_end(&b->lead);
}
