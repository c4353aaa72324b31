/*
 * A whole device in one file: counts of a sensor go in a few at a time, as an
 * interrupt would hand them over, and every finding is printed with the
 * evidence it is the sum of. Runs on QEMU's Cortex-M boards. On a real one,
 * `print_finding` writes a log line or a Bluetooth packet, and the counts come
 * from the sensor's queue.
 *
 * run_on_qemu.py makes `strips`, `strips_sensor` (beatlens firmware) and
 * `recording` (an ECG as C), compiles all and compares the output.
 */
#include "recording.h" /* COUNTS, counts */
#include "semihost.h"  /* host_write, host_number: text to the computer */
#include "strips.h"
#include "strips_sensor.h"

#define AT_ONCE 10 /* counts per interrupt */
#define BYTES STRIPS_MEMORY_BYTES(STRIPS_SENSOR_TAPS)

static uint32_t memory[BYTES / 4];

static void print_finding(void *context, const bl_stream *stream,
                          const bl_finding *f)
{
    uint32_t classes = stream->task->lead.model->classes, c, column;

    (void)context;
    host_write("finding ");
    host_number((int32_t)f->start);
    host_number((int32_t)f->columns);
    host_number(f->assessable);
    host_number((int32_t)f->decisions);
    host_write("\n");
    if (!f->assessable) /* there is no evidence: see f->defects */
        return;
    for (c = 0; c < classes; c++) {
        host_write("class ");
        host_number(f->sums[c]);
        for (column = 0; column < f->columns; column++)
            host_number(bl_evidence(stream, f, column, c));
        host_write("\n");
    }
}

int main(void)
{
    bl_stream stream;
    uint32_t done, now;
    int rc = bl_init(&stream, &strips, &strips_sensor, memory, sizeof memory);

    for (done = 0; rc == BL_OK && done < COUNTS; done += now) {
        now = COUNTS - done < AT_ONCE ? COUNTS - done : AT_ONCE;
        rc = bl_push(&stream, counts + done, now, print_finding, 0);
    }
    if (rc == BL_OK)
        rc = bl_end(&stream, print_finding, 0);
    return rc;
}
