/* A test double; see ../c/common.h. */
#ifndef DOUBLE_MICRO_INTERPRETER_H
#define DOUBLE_MICRO_INTERPRETER_H

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

class MicroInterpreter
{
public:
    MicroInterpreter(const Model *model, const MicroOpResolver &resolver,
                     uint8_t *arena, size_t arena_bytes);
    ~MicroInterpreter();

    TfLiteStatus AllocateTensors();
    TfLiteStatus Invoke();
    size_t inputs_size() const { return 1; }
    size_t outputs_size() const { return 2; }
    TfLiteTensor *input(size_t index);
    TfLiteTensor *output(size_t index);
    size_t arena_used_bytes() const;

private:
    const Model *model_;
    const MicroOpResolver &resolver_;
    uint8_t *arena_;
    size_t arena_bytes_;
    TfLiteTensor input_;
    TfLiteTensor outputs_[2];
};

} // namespace tflite

#endif
