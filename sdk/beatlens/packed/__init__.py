"""Packed weights: int8 tensors in fewer bytes, exactly. numpy only; see firmware_export/SPEC.md.

`beatlens.integer.packing` packs all tensors of a graph at once.
"""

from beatlens.packed.plans import CODINGS
from beatlens.packed.tensor import (
    MAX_WEIGHTS,
    decode_tensor,
    encode_tensor,
    name_coding,
    packed_size,
    sizes_by_coding,
)

__all__ = [
    "CODINGS",
    "MAX_WEIGHTS",
    "decode_tensor",
    "encode_tensor",
    "name_coding",
    "packed_size",
    "sizes_by_coding",
]
