"""Packed weights: int8 tensors in fewer bytes, exactly. numpy only; see firmware_export/SPEC.md."""

from beatlens.packed.model import (
    PackedLayer,
    check_model,
    layers_of,
    pack_model,
    unpack_model,
)
from beatlens.packed.plans import CODINGS
from beatlens.packed.tensor import (
    MAX_WEIGHTS,
    coding_of,
    decode_tensor,
    encode_tensor,
    packed_size,
    sizes_by_coding,
)

__all__ = [
    "CODINGS",
    "MAX_WEIGHTS",
    "PackedLayer",
    "check_model",
    "coding_of",
    "decode_tensor",
    "encode_tensor",
    "layers_of",
    "pack_model",
    "packed_size",
    "sizes_by_coding",
    "unpack_model",
]
