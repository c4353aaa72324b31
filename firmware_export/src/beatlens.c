/* Decisions on windows; see ../include/beatlens.h. */

#include "beatlens.h"

static const bl_defects no_defects = {0, 0, 0, 0, 0, 0, 0};

/* Findings */

static void begin_finding(const bl_stream *s, bl_finding *f, uint32_t start,
                          uint32_t columns)
{
    f->start = start;
    f->columns = columns;
    f->decisions = 0;
    f->sums = s->sums;
    f->features = 0;
    f->defects = no_defects;
    f->assessable = f->warnings = 0;
}

static void hand_out(bl_stream *s, const bl_finding *f)
{
    if (s->on_finding != 0)
        s->on_finding(s->context, s, f);
}

/* Decides on the window that the newest column completes. */
static void decide(bl_stream *s)
{
    const bl_task *t = s->task;
    bl_finding f;
    uint32_t c;

    begin_finding(s, &f, s->next, t->lead.kept);
    if (t->rhythm != 0)
        f.features = t->rhythm->take(s);
    f.defects = s->defects;
    f.assessable = bl_lead_is_assessable(&f.defects, &t->limits);
    for (c = 0; f.assessable && c < t->lead.model->classes; c++) {
        int32_t score = s->sums[c];

        if (f.features != 0)
            score += t->rhythm->add(s, f.features, c);
        if (score >= t->sum_thresholds[c])
            f.decisions |= UINT32_C(1) << c;
    }
    if (f.assessable && f.defects.noisy > t->limits.max_noisy)
        f.warnings = BL_WARNING_NOISY;
    hand_out(s, &f);
}

/* What came behind the last window. */
static void hand_out_rest(bl_stream *s)
{
    const bl_lead *l = &s->lead;
    uint32_t window = s->task->lead.kept;
    uint32_t covered = s->next > 0 ? s->next - s->task->hop + window : 0;
    bl_finding f;

    if (covered > l->position || (covered == l->position && l->within == 0))
        return;
    begin_finding(s, &f, covered, l->columns - covered);
    bl_lead_sum_defects(l, f.start, f.columns, &f.defects);
    hand_out(s, &f);
}

/* What a lead calls */

/* Adds a column to the window's sums, or takes it off them. */
static void add_to_sums(bl_stream *s, uint32_t place, int32_t sign)
{
    uint32_t classes = s->task->lead.model->classes, c;

    for (c = 0; c < classes; c++)
        s->sums[c] += sign * s->lead.evidence[place * classes + c];
    bl_lead_count(&s->lead, place, (uint32_t)sign, &s->defects);
}

static void forget_column(void *stream, uint32_t place)
{
    add_to_sums(stream, place, -1);
}

static void add_window_column(void *stream, uint32_t place)
{
    bl_stream *s = stream;

    add_to_sums(s, place, 1);
    if (s->lead.columns == s->next + s->task->lead.kept) {
        decide(s);
        s->next += s->task->hop;
    }
}

/* All windows inside a long gap at once. */
static uint32_t skip_windows(void *stream, uint32_t end)
{
    bl_stream *s = stream;
    uint32_t window = s->task->lead.kept, hop = s->task->hop, columns;
    bl_finding f;

    if (end < s->next + window + hop)
        return 0;
    columns = (end - window - s->next) / hop * hop;
    begin_finding(s, &f, s->next, columns - hop + window);
    f.defects.lost = f.columns * s->task->lead.stride;
    hand_out(s, &f);
    s->next += columns;
    return columns;
}

static void add_window_sample(void *stream, int8_t x)
{
    bl_stream *s = stream;

    if (s->task->rhythm != 0)
        s->task->rhythm->advance(s, x);
}

static void end_window_segment(void *stream)
{
    bl_stream *s = stream;

    if (s->task->rhythm != 0)
        s->task->rhythm->restart(s);
}

static const bl_chain window_chain = {add_window_sample, forget_column,
                                      add_window_column, skip_windows,
                                      end_window_segment};

/* Interface */

/* Bytes of sums and of the rhythm, a multiple of 4. */
static uint32_t count_own_bytes(const bl_task *t)
{
    uint32_t bytes = 4u * t->lead.model->classes;

    return t->rhythm != 0 ? bytes + t->rhythm->bytes(&t->lead, t->hop) : bytes;
}

int8_t bl_evidence(const bl_stream *s, const bl_finding *f, uint32_t column,
                   uint32_t class_number)
{
    return bl_lead_evidence(&s->lead, f->start + column, class_number);
}

uint32_t bl_memory_bytes(const bl_task *t, const bl_sensor *sensor)
{
    return count_own_bytes(t) + bl_lead_memory_bytes(&t->lead, sensor);
}

int bl_init(bl_stream *s, const bl_task *task, const bl_sensor *sensor,
            uint32_t *memory, uint32_t bytes)
{
    uint32_t classes = task->lead.model->classes, c;
    int rc;

    if (task->hop == 0 || task->hop > task->lead.kept ||
        (task->tables == 0) != (task->rhythm == 0))
        return BL_ERROR_TASK;
    rc = bl_lead_init(&s->lead, &task->lead, sensor, memory, bytes,
                      count_own_bytes(task));
    if (rc != BL_OK)
        return rc;
    s->lead.chain = &window_chain;
    s->lead.state = s;
    s->task = task;
    s->sums = (int32_t *)memory;
    for (c = 0; c < classes; c++)
        s->sums[c] = 0;
    s->defects = no_defects;
    s->next = 0;
    if (task->rhythm != 0)
        task->rhythm->begin(s, memory + classes);
    return BL_OK;
}

static void begin_call(bl_stream *s, bl_on_finding on_finding, void *context)
{
    s->on_finding = on_finding;
    s->context = context;
}

int bl_push(bl_stream *s, const int16_t *counts, uint32_t count,
            bl_on_finding on_finding, void *context)
{
    begin_call(s, on_finding, context);
    return bl_lead_push(&s->lead, counts, count);
}

int bl_gap(bl_stream *s, uint32_t counts, bl_on_finding on_finding,
           void *context)
{
    begin_call(s, on_finding, context);
    return bl_lead_gap(&s->lead, counts);
}

int bl_end(bl_stream *s, bl_on_finding on_finding, void *context)
{
    int rc;

    begin_call(s, on_finding, context);
    rc = bl_lead_end(&s->lead);
    if (rc == BL_OK)
        hand_out_rest(s);
    return rc;
}
