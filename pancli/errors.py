"""Every refusal pancli makes, as one tree.

    PancliError            one line for the reader, exit code 1
    ├── UsageError         an option or argument is wrong, exit code 2
    ├── InputError         a file is missing, unreadable, truncated, or not a raster
    ├── PairError          two images that cannot be sharpened together
    ├── MethodError        the method does not take this pair
    ├── WeightsError       a weights file or its card cannot be used
    ├── OutputError        the output exists, or cannot be written
    ├── DeviceError        the device has not enough memory
    ├── RecipeError        a training recipe that cannot be run
    ├── TrainingError      training that cannot go on (NaN loss, no patches)
    └── ClusterError       a cluster that cannot be reached, or cannot do what is asked

A message names the thing, both values, and the way out. The terminal turns any of these into one line
on stderr; anything else is a bug and shows its traceback.
"""

import errno


class PancliError(Exception):
    """A refusal the user can act on. ``exit_code`` is what the process returns."""

    exit_code = 1


class UsageError(PancliError):
    """An option or argument is wrong."""

    exit_code = 2


class InputError(PancliError):
    """An input file is missing, unreadable, truncated, or not a raster."""


class PairError(PancliError):
    """Two images that cannot be sharpened together."""


class MethodError(PancliError):
    """The method does not take this pair."""


class WeightsError(PancliError):
    """A weights file or its card cannot be used."""


class OutputError(PancliError):
    """The output exists already, or cannot be written."""


class DeviceError(PancliError):
    """The device has not enough memory for what is asked of it."""


class RecipeError(PancliError):
    """A training recipe that cannot be run."""


class TrainingError(PancliError):
    """Training that cannot go on."""


class ClusterError(PancliError):
    """A cluster that cannot be reached, or cannot do what is asked."""


def refusal(error: Exception) -> str | None:
    """The line to tell the reader of an error; None of what is a bug.

    Wherever a path is looked at the system may refuse, and it says which path.
    """
    if isinstance(error, PancliError):
        return str(error)
    if isinstance(error, PermissionError) and error.filename is not None:
        return f"{error.filename}: cannot be reached ({error.strerror})"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: is too long for the name of a file"
    return None
