"""Recipes: one TOML file that describes a model from data to device.

Every verb of the command line takes one. What recipes of all kinds of span have stands here;
`beatlens.tasks.KIND.recipe` adds what one kind has besides, and `beatlens.tasks.registry` reads a
file. Unknown keys are refused, so a misspelt setting cannot be silently ignored; every number has
its unit in its name or in its text.

>>> DistillSection().matching, SourceSection(database="svdb", split="train").weight
('classwise', 1.0)
"""

from beatlens.recipe.base import Recipe, read_json, read_toml
from beatlens.recipe.data import (
    AugmentationSection,
    ClassSection,
    CsvPatient,
    DatabaseName,
    DataSection,
    HeaderPatient,
    ListSplit,
    PartSplit,
    ShareSplit,
    SourceSection,
    TaskSection,
)
from beatlens.recipe.section import Chance, ClassName, Name, Positive, Section, Share, Weight
from beatlens.recipe.training import (
    CompressSection,
    DistillSection,
    NetworkSection,
    ScheduleSection,
    StepSection,
    TeacherSection,
)

__all__ = [
    "AugmentationSection", "Chance", "ClassName", "ClassSection", "CompressSection", "CsvPatient",
    "DataSection", "DatabaseName", "DistillSection", "HeaderPatient", "ListSplit", "Name",
    "NetworkSection", "PartSplit", "Positive", "Recipe", "ScheduleSection", "Section", "Share",
    "ShareSplit", "SourceSection", "StepSection", "TaskSection", "TeacherSection", "Weight",
    "read_json", "read_toml",
]  # fmt: skip
