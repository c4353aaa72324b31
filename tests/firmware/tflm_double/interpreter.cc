/*
 * A test double of TensorFlow Lite Micro's interpreter, which knows one
 * network: beatlens' own engine computes its evidence, window by window.
 * Engine and project both define bl_net_init and its like, so the engine's are
 * renamed.
 *
 * DOUBLE_OPERATORS are the names the resolver has to have, and no others;
 * DOUBLE_EVIDENCE is the position of the evidence among the outputs, the other
 * output being the logits. As the real one may, Invoke overwrites its input.
 */
#include "tensorflow/lite/micro/micro_interpreter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "double.h"
#include "tensorflow/lite/micro/micro_log.h"

#define bl_net_init engine_init
#define bl_net_push engine_push
#define bl_net_reset engine_reset
#define bl_net_end engine_end
extern "C" {
#include "engine_net.h"
}

static uint32_t state[ENGINE_NET_STATE_BYTES / 4];
static unsigned int alive;

extern "C" {
int double_invokes_until_failure = -1;
}

void MicroPrintf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

namespace tflite {

MicroInterpreter::MicroInterpreter(const Model *model,
                                   const MicroOpResolver &resolver,
                                   uint8_t *arena, size_t arena_bytes)
    : model_(model), resolver_(resolver), arena_(arena),
      arena_bytes_(arena_bytes), input_(), outputs_()
{
    if (alive++ != 0 || reinterpret_cast<uintptr_t>(arena) % 16 != 0)
        abort(); /* one at a time, in an arena as the header asks for */
}

MicroInterpreter::~MicroInterpreter()
{
    alive--;
}

size_t MicroInterpreter::arena_used_bytes() const
{
    return DOUBLE_WINDOW + (DOUBLE_COLUMNS + 1u) * engine_net.classes;
}

TfLiteStatus MicroInterpreter::AllocateTensors()
{
    static const char *const wanted[] = {DOUBLE_OPERATORS};
    size_t classes = engine_net.classes, columns = DOUBLE_COLUMNS * classes;
    TfLiteTensor *evidence = &outputs_[DOUBLE_EVIDENCE];
    TfLiteTensor *logits = &outputs_[1 - DOUBLE_EVIDENCE];

    if (resolver_.count() != sizeof wanted / sizeof wanted[0])
        abort();
    for (const char *name : wanted)
        if (!resolver_.has(name))
            abort();
    if (arena_bytes_ < arena_used_bytes())
        return kTfLiteError;
    input_.type = evidence->type = logits->type = kTfLiteInt8;
    input_.data.int8 = reinterpret_cast<int8_t *>(arena_);
    input_.bytes = DOUBLE_WINDOW;
    evidence->data.int8 = input_.data.int8 + DOUBLE_WINDOW;
    evidence->bytes = columns;
    logits->data.int8 = evidence->data.int8 + columns;
    logits->bytes = classes;
    return kTfLiteOk;
}

static void keep(void *context, const int8_t *column)
{
    int8_t **to = static_cast<int8_t **>(context);

    memcpy(*to, column, engine_net.classes);
    *to += engine_net.classes;
}

TfLiteStatus MicroInterpreter::Invoke()
{
    const TfLiteTensor &evidence = outputs_[DOUBLE_EVIDENCE];
    int8_t *to = evidence.data.int8;
    bl_net net;

    if (double_invokes_until_failure >= 0 &&
        double_invokes_until_failure-- == 0)
        return kTfLiteError;
    if (engine_init(&net, &engine_net, state, sizeof state) != BL_OK ||
        engine_push(&net, input_.data.int8, DOUBLE_WINDOW, keep, &to) !=
            BL_OK ||
        to != evidence.data.int8 + evidence.bytes)
        abort();
    memset(input_.data.int8, 0x55, input_.bytes);
    memset(outputs_[1 - DOUBLE_EVIDENCE].data.int8, 0x55, engine_net.classes);
    return kTfLiteOk;
}

TfLiteTensor *MicroInterpreter::input(size_t index)
{
    return index == 0 ? &input_ : nullptr;
}

TfLiteTensor *MicroInterpreter::output(size_t index)
{
    return index < 2 ? &outputs_[index] : nullptr;
}

} // namespace tflite
