"""Quality of a fused image: ``pancli eval`` as a library call.

``options`` is what can be asked, ``images`` opens everything and says which pixels meet, ``measure`` turns
one tile into sums, ``run`` adds them up, ``figures`` turns sums into named numbers, ``report`` and ``maps``
write them down.

The ``pancli`` profile is made for real scenes. Georeferencing says which pixels meet; everything brought
to the pan grid or from it goes through the placement of the two grids and through filters that keep a
constant; masked pixels count nowhere; sums add up over tiles, so no number depends on their size.

Every other profile repeats a published code on whole images, oddities included, so that numbers in papers can
be compared with: one file each in ``profiles``. README.md beside this file says where the codes disagree.
"""

from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.report import EvaluationReport
from pancli.evaluation.run import evaluate

__all__ = ["EvaluateOptions", "EvaluationReport", "evaluate"]
