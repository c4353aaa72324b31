"""Tables and codes of `.tflite` files, as far as beatlens reads and writes them.

From TensorFlow's `schema.fbs`, version 3. The schema is only extended; its numbers never change.
"""

from __future__ import annotations

IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

Field = tuple[int, str, int]
"""Number of a field in its table, its type (a code of `struct`, or "offset"), and its default."""

TABLES: dict[str, dict[str, Field]] = {
    "Model": {
        "version": (0, "I", 0),
        "operator_codes": (1, "offset", 0),
        "subgraphs": (2, "offset", 0),
        "buffers": (4, "offset", 0),
        "signature_defs": (7, "offset", 0),
    },
    "OperatorCode": {
        "deprecated_builtin_code": (0, "b", 0),
        "version": (2, "i", 1),
        "builtin_code": (3, "i", 0),
    },
    "SubGraph": {
        "tensors": (0, "offset", 0),
        "inputs": (1, "offset", 0),
        "outputs": (2, "offset", 0),
        "operators": (3, "offset", 0),
    },
    "Tensor": {
        "shape": (0, "offset", 0),
        "type": (1, "b", 0),
        "buffer": (2, "I", 0),
        "name": (3, "offset", 0),
        "quantization": (4, "offset", 0),
        "is_variable": (5, "B", 0),
        "sparsity": (6, "offset", 0),
        "external_buffer": (10, "I", 0),
    },
    "QuantizationParameters": {
        "scale": (2, "offset", 0),
        "zero_point": (3, "offset", 0),
        "quantized_dimension": (6, "i", 0),
    },
    "Operator": {
        "opcode_index": (0, "I", 0),
        "inputs": (1, "offset", 0),
        "outputs": (2, "offset", 0),
        "builtin_options_type": (3, "B", 0),
        "builtin_options": (4, "offset", 0),
    },
    "Buffer": {"data": (0, "offset", 0), "offset": (1, "Q", 0), "size": (2, "Q", 0)},
    "SignatureDef": {
        "inputs": (0, "offset", 0),
        "outputs": (1, "offset", 0),
        "signature_key": (2, "offset", 0),
    },
    "TensorMap": {"name": (0, "offset", 0), "tensor_index": (1, "I", 0)},
    "AddOptions": {"fused_activation_function": (0, "b", 0)},
    "Conv2DOptions": {
        "padding": (0, "b", 0),
        "stride_w": (1, "i", 0),
        "stride_h": (2, "i", 0),
        "fused_activation_function": (3, "b", 0),
        "dilation_w_factor": (4, "i", 1),
        "dilation_h_factor": (5, "i", 1),
    },
    "DepthwiseConv2DOptions": {
        "padding": (0, "b", 0),
        "stride_w": (1, "i", 0),
        "stride_h": (2, "i", 0),
        "depth_multiplier": (3, "i", 0),
        "fused_activation_function": (4, "b", 0),
        "dilation_w_factor": (5, "i", 1),
        "dilation_h_factor": (6, "i", 1),
    },
    "GatherOptions": {"axis": (0, "i", 0), "batch_dims": (1, "i", 0)},
    "ReducerOptions": {"keep_dims": (0, "B", 0)},
    "SliceOptions": {},
}

TENSOR_TYPES = {"int32": 2, "int8": 9}
PADDING = {"same": 0, "valid": 1}
ACTIVATION_NONE, ACTIVATION_RELU = 0, 1
OPTIONS: dict[str, tuple[str, int]] = {
    "ADD": ("AddOptions", 11),
    "CONV_2D": ("Conv2DOptions", 1),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", 2),
    "GATHER": ("GatherOptions", 23),
    "MEAN": ("ReducerOptions", 27),
    "SLICE": ("SliceOptions", 48),
}
"""The table of options and its code, by operator."""

_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
    EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
    LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1
    RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
    LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG
    PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
    EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD
    REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE
    RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
    BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS
    RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE
    RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
    STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
    STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
    STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT
    STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
    STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
    STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW
    STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
"""
OPERATOR_NAMES = tuple(_NAMES.split())
"""Names of operators; the index is the code."""
OPERATOR_CODES = {name: code for code, name in enumerate(OPERATOR_NAMES)}
