"""Firmware out of models and sensors: C sources that go with `firmware_export/`."""

from beatlens.firmware.model import ModelSource, model_source
from beatlens.firmware.plan import Plan, plan
from beatlens.firmware.sensor import sensor_source

__all__ = ["ModelSource", "Plan", "model_source", "plan", "sensor_source"]
