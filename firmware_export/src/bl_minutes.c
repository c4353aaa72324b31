/* One decision a minute; see ../include/bl_minutes.h. */

#include "bl_minutes.h"

#define MINUTE (60u * 128u) /* samples at 128 Hz */
#define ENTER_PART 3u
#define ENTER_WHOLE 4u
#define STAY_PART 1u
#define STAY_WHOLE 2u

/* Decides on the present minute, hands it out, and begins the next one. */
static void end_minute(bl_minutes *m, bl_on_minute on_minute, void *context)
{
    bl_minute *now = &m->now;
    uint32_t part = now->inside ? STAY_PART : ENTER_PART;
    uint32_t whole = now->inside ? STAY_WHOLE : ENTER_WHOLE;

    now->known = now->windows >= BL_MINUTE_MIN_WINDOWS;
    now->inside = now->known && whole * now->found >= part * now->windows;
    if (on_minute != 0)
        on_minute(context, now);
    now->minute++;
    now->windows = now->found = 0;
}

void bl_minutes_init(bl_minutes *m, const bl_task *task, uint32_t class_number)
{
    m->now.minute = 0;
    m->now.windows = m->now.found = 0;
    m->now.known = m->now.inside = 0;
    m->stride = task->lead.stride;
    m->class_number = class_number;
}

void bl_minutes_push(bl_minutes *m, const bl_finding *f, bl_on_minute on_minute,
                     void *context)
{
    /* Half samples, so that the middle is a whole number; in 64 bits. */
    uint64_t middle = (2u * (uint64_t)f->start + f->columns) * m->stride;

    while (middle >= 2u * (uint64_t)MINUTE * (m->now.minute + 1u))
        end_minute(m, on_minute, context);
    if (!f->assessable)
        return;
    m->now.windows++;
    if (f->decisions >> m->class_number & 1)
        m->now.found++;
}

void bl_minutes_end(bl_minutes *m, bl_on_minute on_minute, void *context)
{
    if (m->now.windows > 0)
        end_minute(m, on_minute, context);
    m->now.minute = 0;
    m->now.inside = 0;
}
