/*
 * Runs networks that come as bytes from stdin, for the tests: thousands of
 * models in one program.
 *
 * All numbers are int32, little-endian. In, per case:
 *     arrays: their number; of each its size in bytes, and its bytes
 *     bl_layer: their number; of each its fields in the header's order
 *     bl_buffer: likewise
 *     bl_model: its fields in the header's order
 *     a seed; columns of input, and the columns themselves, int8 [leads]
 * A field that points is the number of an array, or -1; a kernel is a number. Out, per case: the
 * result, values of evidence, and these, int8; three times, for the input at
 * once, column by column, and in pieces of random sizes.
 *
 * Arrays, state and input are blocks of exactly their size, so that a
 * sanitizer sees every access beside them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bl_kernels.h"

enum { AT_ONCE, BY_COLUMN, RANDOM, WAYS };
enum { MAX_ARRAYS = 256, MAX_LAYERS = 64, MAX_VALUES = 1 << 20 };

/* In the order of benchmarks.device.measure.KERNELS. */
enum { KERNELS = 8 };
static bl_kernel *const kernels[KERNELS] = {
    bl_convolve_rows, bl_convolve_pairs,   bl_convolve_long,
    bl_convolve_taps, bl_convolve_vectors, bl_convolve_channels,
    bl_add,           bl_permute};

static void *arrays[MAX_ARRAYS];
static bl_layer layers[MAX_LAYERS];
static bl_buffer buffers[2 * MAX_LAYERS];
static int8_t made[MAX_VALUES];
static uint32_t made_count, classes, seed;

static void read_bytes(void *to, size_t count)
{
    if (fread(to, 1, count, stdin) != count)
        exit(3);
}

static int32_t number(void)
{
    int32_t value;

    read_bytes(&value, sizeof value);
    return value;
}

static uint32_t number_below(uint32_t most)
{
    int32_t value = number();

    if (value < 0 || (uint32_t)value > most)
        exit(4);
    return (uint32_t)value;
}

static const void *pointer(void)
{
    int32_t index = number();

    return index < 0 ? NULL : arrays[index];
}

static int8_t *block(uint32_t size)
{
    int8_t *made_block = malloc(size > 0 ? size : 1);

    if (made_block == NULL)
        exit(5);
    return made_block;
}

/* Fields, in the order of bl_net.h. */

static void read_layer(bl_layer *layer)
{
    layer->kernel = kernels[number_below(KERNELS - 1)];
    layer->operands = (uint8_t)number();
    layer->outputs_to = (uint8_t)number();
    layer->stride = (uint8_t)number();
    layer->zero_point = (int8_t)number();
    layer->low = (int8_t)number();
    layer->taps = (uint16_t)number();
    layer->inputs = (uint16_t)number();
    layer->channels = (uint16_t)number();
    layer->groups = (uint16_t)number();
    layer->input = (uint16_t)number();
    layer->output = (uint16_t)number();
    layer->weights = pointer();
    layer->constants = pointer();
    layer->factors = pointer();
}

static void read_buffer(bl_buffer *buffer)
{
    buffer->offset = (uint16_t)number();
    buffer->columns = (uint16_t)number();
    buffer->channels = (uint16_t)number();
    buffer->skip = (uint16_t)number();
    buffer->pad_before = (uint8_t)number();
    buffer->pad_after = (uint8_t)number();
    buffer->zero_point = (int8_t)number();
}

static void read_model(bl_model *model)
{
    model->layers = layers;
    model->buffers = buffers;
    model->writes = pointer();
    model->layer_count = (uint16_t)number();
    model->buffer_count = (uint16_t)number();
    model->input_writes = (uint16_t)number();
    model->evidence = (uint16_t)number();
    model->chunk = (uint16_t)number();
    model->leads = (uint16_t)number();
    model->classes = (uint16_t)number();
    model->window = (uint32_t)number();
    model->scratch_bytes = (uint32_t)number();
    model->state_bytes = (uint32_t)number();
}

static uint32_t read_case(bl_model *model)
{
    uint32_t count = number_below(MAX_ARRAYS), found, i;

    for (i = 0; i < count; i++) {
        uint32_t size = number_below(MAX_VALUES);

        arrays[i] = block(size);
        read_bytes(arrays[i], size);
    }
    for (found = number_below(MAX_LAYERS), i = 0; i < found; i++)
        read_layer(&layers[i]);
    for (found = number_below(2 * MAX_LAYERS), i = 0; i < found; i++)
        read_buffer(&buffers[i]);
    read_model(model);
    return count;
}

/* Runs */

static void keep_column(void *context, const int8_t *evidence)
{
    uint32_t c;

    (void)context;
    if (made_count + classes > MAX_VALUES)
        exit(6);
    for (c = 0; c < classes; c++)
        made[made_count++] = evidence[c];
}

static uint32_t piece(uint32_t way, uint32_t columns)
{
    uint32_t now = columns;

    seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
    if (way == BY_COLUMN)
        now = 1;
    else if (way == RANDOM) /* 0 to 7, or to 63 */
        now = seed >> 24 < 200 ? seed >> 29 : seed >> 26;
    return now < columns ? now : columns;
}

static int run(bl_net *net, uint32_t way, const int8_t *x, uint32_t columns)
{
    const bl_model *model = net->model;
    int rc = BL_OK;

    while (rc == BL_OK && columns > 0) {
        uint32_t now = piece(way, columns);

        rc = bl_net_push(net, x, now, keep_column, NULL);
        x += now * model->leads;
        columns -= now;
    }
    if (rc == BL_OK && model->window > 0)
        rc = bl_net_end(net, keep_column, NULL);
    return rc;
}

static void write_made(int32_t rc)
{
    int32_t count = (int32_t)made_count;

    fwrite(&rc, sizeof rc, 1, stdout);
    fwrite(&count, sizeof count, 1, stdout);
    fwrite(made, 1, made_count, stdout);
    fflush(stdout);
}

static void run_case(const bl_model *model)
{
    uint32_t columns, way;
    int8_t *x;
    uint32_t *memory = (uint32_t *)(void *)block(model->state_bytes);
    bl_net net;
    int rc = bl_net_init(&net, model, memory, model->state_bytes);

    seed = (uint32_t)number();
    columns = number_below(MAX_VALUES);
    x = block(columns * model->leads);
    read_bytes(x, columns * model->leads);
    classes = model->classes;
    for (way = 0; way < WAYS; way++) {
        made_count = 0;
        bl_net_reset(&net);
        if (rc == BL_OK)
            rc = run(&net, way, x, columns);
        write_made(rc);
    }
    free(x);
    free(memory);
}

int main(void)
{
    bl_model model;
    uint32_t count;
    int c;

    while ((c = getchar()) != EOF) {
        ungetc(c, stdin);
        count = read_case(&model);
        run_case(&model);
        while (count > 0)
            free(arrays[--count]);
    }
    return 0;
}
