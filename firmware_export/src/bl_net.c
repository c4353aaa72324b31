/* The int8 network, streaming; see ../include/bl_net.h. */

#include "bl_net.h"

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Buffers */

static int8_t *find_column(const bl_net *net, uint32_t buffer, uint32_t index)
{
    const bl_buffer *b = &net->model->buffers[buffer];

    return net->data + b->offset + index * b->channels;
}

/* From the first value on: `to` may lie before `from` and overlap it. */
static void copy(int8_t *to, const int8_t *from, uint32_t count)
{
#ifdef __ARM_FEATURE_UNALIGNED
    typedef struct {
        uint32_t bytes;
    } __attribute__((packed, may_alias)) word;

    for (; count >= 4; count -= 4, to += 4, from += 4)
        ((word *)(void *)to)->bytes = ((const word *)(const void *)from)->bytes;
#endif
    while (count-- > 0)
        *to++ = *from++;
}

/* Takes `count` columns off the beginning, or off what is still to come. */
static void drop(bl_net *net, uint32_t buffer, uint32_t count)
{
    bl_fill *fill = &net->fills[buffer];
    uint32_t gone = smaller(count, fill->have);

    fill->have = (uint16_t)(fill->have - gone);
    fill->skip = (uint16_t)(fill->skip + count - gone);
    copy(find_column(net, buffer, 0), find_column(net, buffer, gone),
         (uint32_t)fill->have * net->model->buffers[buffer].channels);
}

/* Counts columns that were written behind those a buffer has. */
static void add_columns(bl_net *net, uint32_t buffer, uint32_t count)
{
    bl_fill *fill = &net->fills[buffer];
    uint32_t skip = fill->skip;

    fill->have = (uint16_t)(fill->have + count);
    fill->skip = 0;
    if (skip > 0)
        drop(net, buffer, skip);
}

static void pad(bl_net *net, uint32_t buffer, uint32_t count)
{
    const bl_buffer *b = &net->model->buffers[buffer];
    int8_t *to = find_column(net, buffer, net->fills[buffer].have);
    uint32_t i;

    for (i = 0; i < count * b->channels; i++)
        to[i] = b->zero_point;
    add_columns(net, buffer, count);
}

/* Operators */

/* How many columns an operator can make of what is there. */
static uint32_t count_ready(const bl_net *net, const bl_layer *layer)
{
    uint32_t have = net->fills[layer->input].have;

    if (layer->operands == 2)
        have = smaller(have, net->fills[layer->input + 1].have);
    return have < layer->taps ? 0 : (have - layer->taps) / layer->stride + 1;
}

static void compute(const bl_net *net, const bl_layer *layer, uint32_t count,
                    int8_t *out)
{
    bl_job job;

    job.x = find_column(net, layer->input, 0);
    job.other =
        layer->operands == 2 ? find_column(net, layer->input + 1u, 0) : 0;
    job.count = count;
    job.scratch = net->scratch;
    job.out = out;
    layer->kernel(layer, &job);
}

/* Runs an operator as far as its input goes. */
static void run(bl_net *net, const bl_layer *layer)
{
    const uint16_t *writes = net->model->writes + layer->output;
    uint32_t count = count_ready(net, layer), i;
    const int8_t *made;

    if (count == 0)
        return;
    compute(net, layer, count,
            find_column(net, writes[0], net->fills[writes[0]].have));
    made = find_column(net, writes[0], net->fills[writes[0]].have);
    for (i = 1; i < layer->outputs_to; i++)
        copy(find_column(net, writes[i], net->fills[writes[i]].have), made,
             count * layer->channels);
    for (i = 0; i < layer->outputs_to; i++)
        add_columns(net, writes[i], count);
    for (i = 0; i < layer->operands; i++)
        drop(net, layer->input + i, count * layer->stride);
}

static void hand_out(bl_net *net, bl_on_column on_column, void *context)
{
    uint32_t evidence = net->model->evidence, i;

    for (i = 0; on_column != 0 && i < net->fills[evidence].have; i++)
        on_column(context, find_column(net, evidence, i));
    net->fills[evidence].have = 0;
}

/* Interface */

int bl_net_init(bl_net *net, const bl_model *model, uint32_t *memory,
                uint32_t bytes)
{
    if (memory == 0 || bytes < model->state_bytes)
        return BL_ERROR_MEMORY;
    net->model = model;
    net->fills = (bl_fill *)memory;
    net->data = (int8_t *)(net->fills + model->buffer_count);
    /* At the end: kernels may read a few bytes beyond the data. */
    net->scratch = memory + (model->state_bytes - model->scratch_bytes) / 4;
    bl_net_reset(net);
    return BL_OK;
}

void bl_net_reset(bl_net *net)
{
    uint32_t i;

    net->seen = 0;
    for (i = 0; i < net->model->buffer_count; i++) {
        net->fills[i].have = 0;
        net->fills[i].skip = net->model->buffers[i].skip;
        pad(net, i, net->model->buffers[i].pad_before);
    }
}

int bl_net_push(bl_net *net, const int8_t *x, uint32_t count,
                bl_on_column on_column, void *context)
{
    const bl_model *m = net->model;
    uint32_t now, i;

    if (m->window > 0) {
        if (count > m->window - net->seen)
            return BL_ERROR_WINDOW;
        net->seen += count;
    }
    for (; count > 0; count -= now, x += now * m->leads) {
        now = smaller(count, m->chunk);
        for (i = 0; i < m->input_writes; i++) {
            copy(find_column(net, m->writes[i], net->fills[m->writes[i]].have),
                 x, now * m->leads);
            add_columns(net, m->writes[i], now);
        }
        for (i = 0; i < m->layer_count; i++)
            run(net, &m->layers[i]);
        hand_out(net, on_column, context);
    }
    return BL_OK;
}

int bl_net_end(bl_net *net, bl_on_column on_column, void *context)
{
    const bl_model *m = net->model;
    uint32_t i, j;

    if (m->window == 0 || net->seen != m->window)
        return BL_ERROR_WINDOW;
    for (i = 0; i < m->layer_count; i++) {
        const bl_layer *layer = &m->layers[i];

        for (j = 0; j < layer->operands; j++)
            pad(net, layer->input + j,
                m->buffers[layer->input + j].pad_after);
        run(net, layer);
    }
    hand_out(net, on_column, context);
    bl_net_reset(net);
    return BL_OK;
}
