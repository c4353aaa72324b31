"""The exceptions beatlens raises on purpose.

Every message names what was wrong, the value found, what was expected and what to do, so that
the command line can show it as one line. Anything else that escapes is a bug in beatlens.

>>> from beatlens.errors import BeatlensError, DataError
>>> issubclass(DataError, BeatlensError)
True
"""


class BeatlensError(Exception):
    """Base of every error beatlens raises on purpose; the command line prints it as one line."""


class DataError(BeatlensError):
    """A recording, annotation or database on disk is missing, damaged or not what was expected."""


class SignalError(BeatlensError):
    """Samples handed to beatlens cannot be used: wrong dtype, shape, rate, range or not finite."""


class RecipeError(BeatlensError):
    """A recipe or an option has an unknown key or a value out of range."""


class ModelError(BeatlensError):
    """A network, integer graph, `.tflite` file or bundle is malformed or not supported."""


class OutputError(BeatlensError):
    """A file of results cannot be written: the disk is full, or the folder refuses."""
