"""C++ that registers a model's operators with TensorFlow Lite Micro."""

from __future__ import annotations

from beatlens.c_source.text import guarded
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import operators

ADD_METHODS = {
    "ABS": "AddAbs",
    "ADD": "AddAdd",
    "ARG_MAX": "AddArgMax",
    "ARG_MIN": "AddArgMin",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "DEQUANTIZE": "AddDequantize",
    "EXPAND_DIMS": "AddExpandDims",
    "FULLY_CONNECTED": "AddFullyConnected",
    "GATHER": "AddGather",
    "HARD_SWISH": "AddHardSwish",
    "LEAKY_RELU": "AddLeakyRelu",
    "LOGISTIC": "AddLogistic",
    "MAXIMUM": "AddMaximum",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MEAN": "AddMean",
    "MINIMUM": "AddMinimum",
    "MUL": "AddMul",
    "PACK": "AddPack",
    "PAD": "AddPad",
    "PADV2": "AddPadV2",
    "PRELU": "AddPrelu",
    "QUANTIZE": "AddQuantize",
    "REDUCE_MAX": "AddReduceMax",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "SHAPE": "AddShape",
    "SLICE": "AddSlice",
    "SOFTMAX": "AddSoftmax",
    "SPLIT": "AddSplit",
    "SQUEEZE": "AddSqueeze",
    "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub",
    "TANH": "AddTanh",
    "TRANSPOSE": "AddTranspose",
    "TRANSPOSE_CONV": "AddTransposeConv",
    "UNPACK": "AddUnpack",
}
"""By builtin operator, the method of `MicroMutableOpResolver` that adds it."""


def resolver_header(tflite: bytes, name: str) -> str:
    """C++ header NAME_resolver.h: `NAME_resolver`, and `NAME_add_operators` that fills one.

    Args:
        tflite: the bytes of a `.tflite` file; every subgraph's operators are added, each once.
        name: a C identifier.

    Raises:
        ModelError: the file is damaged, or uses an operator that is not in `ADD_METHODS`.
    """
    used = operators(tflite)
    for kind in used:
        if kind not in ADD_METHODS:
            raise ModelError(
                f".tflite file: uses the operator {kind}, expected operators among "
                f"{', '.join(ADD_METHODS)}; convert the model without it"
            )
    if not used:
        raise ModelError(".tflite file: has no operators, expected a network")
    return guarded(
        f"{name}_resolver",
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n',
        f"/* Room for the operators of {name}_model_data. */\n"
        f"typedef tflite::MicroMutableOpResolver<{len(used)}> {name}_resolver;\n",
        "/* Adds them. Returns kTfLiteOk, or the status of the first that failed. */\n"
        f"inline TfLiteStatus {name}_add_operators({name}_resolver &resolver)\n"
        "{\n    TfLiteStatus status;\n",
        *(
            f"    status = resolver.{ADD_METHODS[kind]}();\n"
            "    if (status != kTfLiteOk)\n        return status;\n"
            for kind in used
        ),
        "    return kTfLiteOk;\n}\n",
    )
