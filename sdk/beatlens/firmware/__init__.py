"""Firmware out of models and sensors: C sources that go with `firmware_export/`."""

from beatlens.firmware.c_text import CSource
from beatlens.firmware.kernels import KernelSet
from beatlens.firmware.model import model_source
from beatlens.firmware.plan import Plan, plan
from beatlens.firmware.sensor import sensor_source
from beatlens.firmware.task import TaskSource, task_source
from beatlens.firmware.tflm import tflm_model, tflm_project

__all__ = [
    "CSource",
    "KernelSet",
    "Plan",
    "TaskSource",
    "model_source",
    "plan",
    "sensor_source",
    "task_source",
    "tflm_model",
    "tflm_project",
]
