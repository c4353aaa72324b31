/* Rhythms; see ../include/bl_rhythm.h. The same as beatlens.tasks.beats.rhythms
 * in Python. */

#include "bl_rhythm.h"

#define WINDOW BL_RHYTHM_WINDOW
#define LONGEST_RR (8u * 128u)
#define RUN 3u
#define MINUTE (60u * 128u) /* samples */
#define LARGEST_COUNT 262144u

/* Where rhythms are handed out to. */
typedef struct {
    bl_on_rhythm on_rhythm;
    void *context;
} receiver;

/* Of the two patterns. */
static const uint8_t pattern_roles[2] = {BL_ROLE_V, BL_ROLE_S};

/* Rates */

static uint16_t round_rate(uint32_t intervals, uint32_t span)
{
    uint32_t rate;

    while (intervals > LARGEST_COUNT) { /* 32 bits are enough then */
        intervals >>= 1;
        span >>= 1;
    }
    if (span == 0)
        return UINT16_MAX;
    rate = (MINUTE * intervals + (span >> 1)) / span;
    return rate > UINT16_MAX ? UINT16_MAX : (uint16_t)rate;
}

static uint16_t rate_between(const bl_rhythm_place *start,
                             const bl_rhythm_place *end)
{
    return round_rate(end->number - start->number, end->peak - start->peak);
}

/* Handing out */

static void hand_out(const receiver *to, uint8_t kind,
                     const bl_rhythm_place *start, const bl_rhythm_place *end)
{
    bl_rhythm_event event = {0, 0, 0, 0, 0, 0, 0, {0, 0, 0, 0}, 0};

    if (to->on_rhythm == 0)
        return;
    event.start = start->peak;
    event.end = end->peak;
    event.first = start->number;
    event.last = end->number;
    event.rate = rate_between(start, end);
    event.kind = kind;
    to->on_rhythm(to->context, &event);
}

static void end_minute(const bl_rhythm *r, const receiver *to)
{
    bl_rhythm_event event;
    uint32_t i;

    if (to->on_rhythm == 0)
        return;
    event.start = r->minute * MINUTE;
    event.end = event.start + MINUTE;
    event.first = r->minute_first;
    event.last = r->last.number;
    event.rate = 0;
    if (r->minute_intervals > 0)
        event.rate = round_rate(r->minute_intervals, r->minute_span);
    event.least = r->minute_least;
    event.most = r->minute_most;
    for (i = 0; i < 4; i++)
        event.beats[i] = r->minute_beats[i];
    event.kind = BL_RHYTHM_MINUTE;
    to->on_rhythm(to->context, &event);
}

static void begin_minute(bl_rhythm *r, uint32_t minute)
{
    uint32_t i;

    r->minute = minute;
    r->minute_first = r->count;
    r->minute_span = 0;
    r->minute_intervals = r->minute_least = r->minute_most = 0;
    for (i = 0; i < 5; i++)
        r->minute_beats[i] = 0;
}

/* Ectopic beats in a row */

static uint32_t count_group(const bl_rhythm *r)
{
    return r->group_end.number - r->group_start.number + 1;
}

/* What a run is called by its rate. */
static uint8_t name_run(const bl_rhythm *r)
{
    uint16_t rate = rate_between(&r->group_start, &r->group_end);
    uint32_t fast = rate > r->settings->run_above;

    if (r->group_role == BL_ROLE_V)
        return fast ? BL_RHYTHM_VENTRICULAR_TACHYCARDIA
                    : BL_RHYTHM_IDIOVENTRICULAR;
    return fast ? BL_RHYTHM_SUPRAVENTRICULAR_TACHYCARDIA
                : BL_RHYTHM_SUPRAVENTRICULAR_RUN;
}

static uint8_t name_group(const bl_rhythm *r)
{
    if (count_group(r) >= RUN)
        return name_run(r);
    return r->group_role == BL_ROLE_V ? BL_RHYTHM_VENTRICULAR_COUPLET
                                      : BL_RHYTHM_SUPRAVENTRICULAR_COUPLET;
}

static void end_group(bl_rhythm *r, const receiver *to)
{
    if (r->group_role != BL_ROLE_NONE && count_group(r) > 1)
        hand_out(to, name_group(r), &r->group_start, &r->group_end);
    r->group_role = BL_ROLE_NONE;
}

static void take_group(bl_rhythm *r, uint8_t role, const receiver *to)
{
    if (r->group_role == role) {
        r->group_end = r->last;
        return;
    }
    end_group(r, to);
    if (role == BL_ROLE_S || role == BL_ROLE_V) {
        r->group_role = role;
        r->group_start = r->group_end = r->last;
    }
}

/* Ectopic beats in turn with normal ones */

static uint8_t name_pattern(const bl_rhythm_pattern *p, uint8_t role)
{
    if (role == BL_ROLE_V)
        return p->normal == 1 ? BL_RHYTHM_VENTRICULAR_BIGEMINY
                              : BL_RHYTHM_VENTRICULAR_TRIGEMINY;
    return p->normal == 1 ? BL_RHYTHM_SUPRAVENTRICULAR_BIGEMINY
                          : BL_RHYTHM_SUPRAVENTRICULAR_TRIGEMINY;
}

/* Ends it, if there is one; its last beat may begin another. */
static void end_pattern(const bl_rhythm *r, bl_rhythm_pattern *p, uint8_t role,
                        const receiver *to)
{
    if (p->cycles >= r->settings->cycles)
        hand_out(to, name_pattern(p, role), &p->start, &p->last);
    p->normal = p->cycles = 0;
}

static void take_cycle(const bl_rhythm *r, bl_rhythm_pattern *p, uint8_t role,
                       const receiver *to)
{
    uint8_t turns = 0;

    if (p->known && (p->since == 1 || p->since == 2))
        turns = p->since;
    if (turns != p->normal || turns == 0) {
        end_pattern(r, p, role, to);
        if (turns != 0) {
            p->normal = turns;
            p->cycles = 1;
            p->start = p->last;
        }
    }
    if (turns != 0 && p->cycles < UINT8_MAX)
        p->cycles++;
    p->known = 1;
    p->since = 0;
    p->last = r->last;
}

static void take_pattern(const bl_rhythm *r, bl_rhythm_pattern *p, uint8_t of,
                         uint8_t role, const receiver *to)
{
    if (role == of) {
        take_cycle(r, p, of, to);
    } else if (role == BL_ROLE_N) {
        if (p->since < 3)
            p->since++;
        if (p->normal != 0 && p->since > p->normal)
            end_pattern(r, p, of, to);
    } else {
        end_pattern(r, p, of, to);
        p->known = 0;
    }
}

/* Bradycardia and tachycardia */

/* Whether one interval alone is beyond the limit of an episode. */
static uint32_t is_beyond(const bl_rhythm *r, uint32_t rr, uint8_t kind)
{
    uint16_t rate = round_rate(1, rr);

    return kind == BL_RHYTHM_TACHYCARDIA ? rate > r->settings->tachycardia_above
                                         : rate < r->settings->bradycardia_below;
}

/* Begins with the first interval of the window that is beyond the limit and
 * free. */
static void begin_episode(bl_rhythm *r, uint8_t kind)
{
    bl_rhythm_place end = r->last;
    uint32_t i;

    for (i = r->interval_count; i > 0 && end.number > r->free; i--) {
        uint32_t rr = r->intervals[i - 1];
        uint32_t beyond = is_beyond(r, rr, kind);

        if (beyond && r->episode == 0) {
            r->episode = kind;
            r->episode_end = end;
        }
        end.peak -= rr;
        end.number--;
        if (beyond)
            r->episode_start = end;
    }
}

static uint32_t count_episode(const bl_rhythm *r)
{
    return r->episode_end.number - r->episode_start.number;
}

static void end_episode(bl_rhythm *r, const receiver *to)
{
    if (r->episode == 0)
        return;
    if (count_episode(r) >= WINDOW)
        hand_out(to, r->episode, &r->episode_start, &r->episode_end);
    r->episode = 0;
    r->free = r->episode_end.number;
}

/* Takes the rate of the window that ends at the last beat. */
static void take_rate(bl_rhythm *r, uint16_t rate, const receiver *to)
{
    const bl_rhythm_settings *s = r->settings;

    if (r->minute_least == 0 || rate < r->minute_least)
        r->minute_least = rate;
    if (rate > r->minute_most)
        r->minute_most = rate;
    if (r->episode == BL_RHYTHM_TACHYCARDIA) {
        if (rate < s->tachycardia_until)
            end_episode(r, to);
    } else if (r->episode == BL_RHYTHM_BRADYCARDIA) {
        if (rate > s->bradycardia_until)
            end_episode(r, to);
    } else if (rate > s->tachycardia_above) {
        begin_episode(r, BL_RHYTHM_TACHYCARDIA);
    } else if (rate < s->bradycardia_below) {
        begin_episode(r, BL_RHYTHM_BRADYCARDIA);
    }
}

static void remember(bl_rhythm *r, uint16_t rr)
{
    if (r->interval_count == WINDOW) {
        uint32_t i;

        for (i = 1; i < WINDOW; i++)
            r->intervals[i - 1] = r->intervals[i];
        r->interval_count--;
    }
    r->intervals[r->interval_count++] = rr;
}

static void take_interval(bl_rhythm *r, uint32_t rr, const receiver *to)
{
    uint32_t sum = 0, i;

    if (rr > LONGEST_RR) {
        r->interval_count = 0;
        end_episode(r, to);
        return;
    }
    r->minute_intervals++;
    r->minute_span += rr;
    remember(r, (uint16_t)rr);
    if (r->episode != 0 && is_beyond(r, rr, r->episode))
        r->episode_end = r->last;
    for (i = 0; i < r->interval_count; i++)
        sum += r->intervals[i];
    if (r->interval_count == WINDOW)
        take_rate(r, round_rate(WINDOW, sum), to);
}

/* Interface */

/* Ends whatever goes on, in front of a beat that is not joined. */
static void end_all(bl_rhythm *r, const receiver *to)
{
    uint32_t i;

    end_group(r, to);
    for (i = 0; i < 2; i++) {
        end_pattern(r, &r->patterns[i], pattern_roles[i], to);
        r->patterns[i].known = 0;
    }
    end_episode(r, to);
    r->interval_count = 0;
}

void bl_rhythm_init(bl_rhythm *r, const bl_rhythm_settings *settings)
{
    static const bl_rhythm_place none = {0, 0};
    uint32_t i;

    r->settings = settings;
    r->last = r->group_start = r->group_end = none;
    r->episode_start = r->episode_end = none;
    for (i = 0; i < 2; i++) {
        r->patterns[i].start = r->patterns[i].last = none;
        r->patterns[i].known = r->patterns[i].since = 0;
        r->patterns[i].normal = r->patterns[i].cycles = 0;
    }
    for (i = 0; i < WINDOW; i++)
        r->intervals[i] = 0;
    r->count = r->free = 0;
    r->interval_count = r->episode = r->decided = 0;
    r->group_role = BL_ROLE_NONE;
    begin_minute(r, 0);
}

void bl_rhythm_push(bl_rhythm *r, uint32_t peak, uint32_t rr, uint8_t role,
                    bl_on_rhythm on_rhythm, void *context)
{
    bl_rhythm_place before = r->last;
    receiver to;
    uint32_t joined, i;

    if (role > BL_ROLE_NONE)
        role = BL_ROLE_OTHER;
    if (r->count > 0 && peak <= r->last.peak)
        return;
    to.on_rhythm = on_rhythm;
    to.context = context;
    joined = r->decided && role != BL_ROLE_NONE && rr > 0 &&
             rr == peak - before.peak;
    if (r->count == 0 || peak / MINUTE != r->minute) {
        if (r->count > 0)
            end_minute(r, &to);
        begin_minute(r, peak / MINUTE);
    }
    r->minute_beats[role]++;
    r->last.peak = peak;
    r->last.number = r->count++;
    r->decided = role != BL_ROLE_NONE;
    if (!joined) {
        end_all(r, &to);
    } else {
        if (rr > r->settings->pause)
            hand_out(&to, BL_RHYTHM_PAUSE, &before, &r->last);
        take_interval(r, rr, &to);
    }
    if (!r->decided)
        return;
    take_group(r, role, &to);
    for (i = 0; i < 2; i++)
        take_pattern(r, &r->patterns[i], pattern_roles[i], role, &to);
}

uint32_t bl_rhythm_going(const bl_rhythm *r)
{
    uint32_t going = 0, i;

    if (r->group_role != BL_ROLE_NONE && count_group(r) >= RUN)
        going |= (uint32_t)1 << name_run(r);
    for (i = 0; i < 2; i++)
        if (r->patterns[i].cycles >= r->settings->cycles)
            going |= (uint32_t)1 << name_pattern(&r->patterns[i], pattern_roles[i]);
    if (r->episode != 0 && count_episode(r) >= WINDOW)
        going |= (uint32_t)1 << r->episode;
    return going;
}

void bl_rhythm_end(bl_rhythm *r, bl_on_rhythm on_rhythm, void *context)
{
    receiver to;

    to.on_rhythm = on_rhythm;
    to.context = context;
    end_all(r, &to);
    if (r->count > 0)
        end_minute(r, &to);
    bl_rhythm_init(r, r->settings);
}
