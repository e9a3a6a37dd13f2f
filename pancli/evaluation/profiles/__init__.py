"""Definitions of published codes, repeated on whole images so that numbers in papers can be compared with.

One file per code; what they share is in ``whole``, the names and their options in ``metrics.profiles``.
"""

from __future__ import annotations

from collections.abc import Callable

from pancli.evaluation.figures import Figure
from pancli.evaluation.images import Images
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles.dlpan import dlpan_figures
from pancli.evaluation.profiles.gcpnet import gcpnet_figures
from pancli.evaluation.profiles.premix import premix_figures
from pancli.evaluation.profiles.torchmetrics import torchmetrics_figures

WholeProfile = Callable[[Images, EvaluateOptions, float | None], dict[str, Figure]]
"""Images, options and peak in, figures out; raises PancliError for what the code does not take."""

WHOLE_PROFILES: dict[str, WholeProfile] = {
    "dlpan": dlpan_figures,
    "gcpnet": gcpnet_figures,
    "premix": premix_figures,
    "torchmetrics": torchmetrics_figures,
}
"""By name, as in ``metrics.profiles``."""
