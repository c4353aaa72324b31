"""A sensor's front end as C constants, for `firmware_export/src/bl_frontend.c`.

>>> from beatlens.signals.frontend import FrontEnd
>>> text = sensor_source(FrontEnd(rate_hz=128, counts_per_mv=200.0), "chest").source
>>> print(text[text.index("const bl_sensor"):])
const bl_sensor chest = {
    chest_taps, 14, 1, 1,
    -32767 - 1, 32767,
    {1073741824, 45}, {1717986918, 47}
};
<BLANKLINE>
"""

from __future__ import annotations

import numpy as np

from beatlens.c_source.text import CSource, check_identifier, constant, guarded, numbers, row
from beatlens.errors import SignalError
from beatlens.signals.frontend import FrontEnd

MAX_COUNT = 1 << 15


def sensor_source(frontend: FrontEnd, name: str) -> CSource:
    """C that defines `const bl_sensor NAME`, and `NAME_TAPS`, the counts its ring has room for.

    Args:
        frontend: rate, gain and rails of the sensor.
        name: a C identifier.

    Raises:
        RecipeError: the name is not a C identifier.
        SignalError: a rail is no 16 bit count, or the taps' products could leave 32 bit.
    """
    check_identifier(name, "the sensor")
    for rail in frontend.rails:
        if not -MAX_COUNT <= rail < MAX_COUNT:
            raise SignalError(
                f"rails are {frontend.rails}, expected 16 bit counts (-32768 to 32767): the "
                "firmware's samples are int16"
            )
    largest = int(np.abs(frontend.taps.astype(np.int64)).sum(axis=1).max()) * MAX_COUNT
    if largest >= 1 << 31:
        raise SignalError(
            f"taps of {frontend.rate_hz} Hz reach {largest}, expected below 2^31 for 16 bit counts"
        )
    width = frontend.taps.shape[1]
    about = f"{frontend.rate_hz} Hz, {frontend.counts_per_mv:g} counts per mV"
    header = guarded(
        name,
        '#include "bl_frontend.h"\n',
        f"#define {name.upper()}_TAPS {width}u\n",
        f"extern const bl_sensor {name};\n",
    )
    source = (
        f'/* {about}; made by beatlens. */\n#include "{name}.h"\n\n'
        f"{numbers('int16_t', f'{name}_taps', frontend.taps.ravel().tolist())}\n"
        f"const bl_sensor {name} = {{\n"
        f"    {name}_taps, {width}, {frontend.up}, {frontend.down},\n"
        f"    {', '.join(map(constant, frontend.rails))},\n"
        f"    {row(*frontend.gain)}, {row(*frontend.scale)}\n"
        "};\n"
    )
    return CSource(header, source)
