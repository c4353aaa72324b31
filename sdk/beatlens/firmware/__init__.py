"""Firmware out of models and sensors: C sources that go with `firmware_export/`."""

from beatlens.firmware.sensor import sensor_source

__all__ = ["sensor_source"]
