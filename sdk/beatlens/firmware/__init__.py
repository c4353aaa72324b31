"""Firmware out of models and sensors: C sources that go with `firmware_export/`."""

from beatlens.firmware.model import ModelSource, model_source
from beatlens.firmware.plan import Plan, plan
from beatlens.firmware.sensor import sensor_source
from beatlens.firmware.task import TaskSource, memory_bytes, task_source

__all__ = [
    "ModelSource",
    "Plan",
    "TaskSource",
    "memory_bytes",
    "model_source",
    "plan",
    "sensor_source",
    "task_source",
]
