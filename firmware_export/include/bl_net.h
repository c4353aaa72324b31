/*
 * The int8 network, streaming: samples in, columns of evidence out.
 *
 * A model is made by beatlens out of a .tflite file: constants, and the bytes
 * of state it needs. Each operator works as soon as its input is there, on a
 * few columns at a time, so that memory holds what operators still have to
 * see and no whole activation. Arithmetic is that of the LiteRT reference
 * kernels, bit for bit.
 *
 * C99, freestanding: no heap, no recursion, no global state, no floating
 * point, and nothing of libc (a compiler may turn loops into calls of memcpy
 * and memset).
 *
 *     static uint32_t memory[MODEL_STATE_BYTES / 4];
 *     bl_net net;
 *     int rc = bl_net_init(&net, &model, memory, sizeof memory);
 *     while (rc >= 0) {
 *         rc = bl_net_push(&net, samples, count, on_column, context);
 *     }
 *
 * A network without padding runs on for ever, and a column does not depend on
 * where the stream began. A network with padding sees windows of a fixed
 * length: push model.window columns, then call bl_net_end.
 */
#ifndef BL_NET_H
#define BL_NET_H

#include <stdint.h>

#include "bl_error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A real factor: mantissa * 2^(shift - 31); shift < 0 is to the right. */
typedef struct {
    int32_t mantissa;
    int8_t shift;
} bl_factor;

/* Columns that wait for an operator. */
typedef struct {
    uint16_t offset;   /* in the data, bytes */
    uint16_t columns;  /* that fit */
    uint16_t channels;
    uint16_t skip;       /* columns dropped at the beginning */
    uint8_t pad_before;  /* columns of zero_point before the window */
    uint8_t pad_after;   /* and behind it */
    int8_t zero_point;
} bl_buffer;

typedef struct bl_layer bl_layer;

/* What a kernel works on: columns that lie one behind the other. */
typedef struct {
    const int8_t *x;     /* [..][inputs] */
    const int8_t *other; /* second input of a sum */
    uint32_t count;      /* columns to make */
    uint32_t *scratch;   /* the model's scratch_bytes, what for is its own */
    int8_t *out;         /* [count][channels] */
} bl_job;

/* Computes an operator; one for each way that its constants may lie. */
typedef void bl_kernel(const bl_layer *layer, const bl_job *job);

/* An operator. What its constants hold is said in bl_kernels.h. */
struct bl_layer {
    bl_kernel *kernel;
    uint8_t operands;   /* buffers it reads, 1 or 2 */
    uint8_t outputs_to; /* how many buffers get what it makes */
    uint8_t stride;
    int8_t zero_point; /* of what it makes */
    int8_t low;        /* smallest value: zero_point after a ReLU */
    uint16_t taps;     /* columns that an output sees */
    uint16_t inputs;   /* channels of what it reads */
    uint16_t channels; /* of what it makes */
    uint16_t groups;   /* each output sees the inputs of its group */
    uint16_t input;    /* first of the buffers it reads */
    uint16_t output;   /* first of the buffers it writes, in model->writes */
    const void *weights;
    const int32_t *constants;
    const bl_factor *factors;
};

/* A network. */
typedef struct {
    const bl_layer *layers;
    const bl_buffer *buffers;
    const uint16_t *writes; /* buffers that layers write */
    uint16_t layer_count;
    uint16_t buffer_count;
    uint16_t input_writes; /* buffers that get the input: the first writes */
    uint16_t evidence;     /* buffer that columns of evidence come out of */
    uint16_t chunk;        /* input columns worked on at once */
    uint16_t leads;        /* channels of the input */
    uint16_t classes;
    uint32_t window;       /* input columns of a padded network, else 0 */
    uint32_t scratch_bytes; /* of the state, a multiple of 4 */
    uint32_t state_bytes;
} bl_model;

/* How full a buffer is; private. */
typedef struct {
    uint16_t have;
    uint16_t skip;
} bl_fill;

/* State; private. */
typedef struct {
    const bl_model *model;
    bl_fill *fills;
    uint32_t *scratch;
    int8_t *data;
    uint32_t seen; /* input columns of this window */
} bl_net;

/* Gets a column of evidence, int8 [classes], which is lost afterwards. */
typedef void (*bl_on_column)(void *context, const int8_t *evidence);

/* Begins a stream. Returns BL_OK or BL_ERROR_MEMORY. */
int bl_net_init(bl_net *net, const bl_model *model, uint32_t *memory,
                uint32_t bytes);

/* Begins anew, as after bl_net_init. */
void bl_net_reset(bl_net *net);

/*
 * Takes `count` columns of int8 [leads], any number, and hands out the columns
 * of evidence that became ready; without `on_column` they are dropped. Returns
 * BL_OK, or BL_ERROR_WINDOW where a padded network's window is full; then
 * nothing was taken.
 */
int bl_net_push(bl_net *net, const int8_t *x, uint32_t count,
                bl_on_column on_column, void *context);

/*
 * Ends the window of a padded network: hands out its last columns and begins
 * anew. Returns BL_OK, or BL_ERROR_WINDOW where the window is not full or
 * the network has none.
 */
int bl_net_end(bl_net *net, bl_on_column on_column, void *context);

#ifdef __cplusplus
}
#endif

#endif
