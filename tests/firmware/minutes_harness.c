/* Minutes of findings on stdin: lines of start, columns, assessable, found. */
#include <stdio.h>

#include "bl_minutes.h"

static void show(void *context, const bl_minute *m)
{
    (void)context;
    printf("%u %u %u %u %u\n", (unsigned)m->minute, m->windows, m->found,
           m->known, m->inside);
}

int main(void)
{
    static bl_task task;
    bl_finding f = {0};
    bl_minutes minutes;
    unsigned start, columns, assessable, found;

    task.lead.stride = 8;
    bl_minutes_init(&minutes, &task, 2);
    while (scanf("%u %u %u %u", &start, &columns, &assessable, &found) == 4) {
        f.start = start;
        f.columns = columns;
        f.assessable = (uint8_t)assessable;
        f.decisions = found << 2 | 1;
        bl_minutes_push(&minutes, &f, show, 0);
    }
    bl_minutes_end(&minutes, show, 0);
    return 0;
}
