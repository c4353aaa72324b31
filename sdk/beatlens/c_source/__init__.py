"""Networks and sensors as C constants that go with `firmware_export/`.

`beatlens.runtime` compiles such C for this machine (engine "c"), and `beatlens.firmware` writes
whole projects for a device. Both import this package. It knows graphs and front ends, not bundles.
"""
