"""Networks and sensors as C constants that go with `firmware_export/`.

This stands below `beatlens.runtime`, whose engine "c" compiles such C for this machine, and below
`beatlens.firmware`, which writes whole projects for a device. It knows graphs and front ends, and
nothing of bundles.
"""
