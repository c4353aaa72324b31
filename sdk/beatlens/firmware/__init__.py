"""Firmware out of models and sensors: C sources that go with `firmware_export/`."""

from beatlens.c_source.kernels import KernelSet
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.sensor import sensor_source
from beatlens.c_source.text import CSource
from beatlens.firmware.tflm import tflm_model, tflm_project
from beatlens.runtime.c_task import TaskSource

__all__ = [
    "CSource",
    "KernelSet",
    "Plan",
    "TaskSource",
    "lay_out",
    "model_source",
    "sensor_source",
    "tflm_model",
    "tflm_project",
]
