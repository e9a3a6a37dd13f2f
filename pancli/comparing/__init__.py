"""Methods side by side on one pair: ``pancli compare`` as a library call.

``options`` says what can be asked for, ``bench`` where the pair and the results lie, ``run`` sharpens and
measures with one method after the other, ``report`` is what came of it, best first. ``page`` writes it down
as one HTML file with pictures: ``survey`` streams the fused images to find places worth looking at and to
map errors, ``pictures`` turns pixels into PNG, ``templates`` hold the words. Only ``page`` and ``pictures``
need the extra ``report``.

A method that fails is a row that says why. Nothing here fuses or measures by itself: the images are those
of :func:`pancli.sharpening.sharpen`, the figures those of :func:`pancli.evaluation.evaluate`.
"""

from pancli.comparing.options import CompareOptions
from pancli.comparing.report import CompareReport, MethodResult
from pancli.comparing.run import compare

__all__ = ["CompareOptions", "CompareReport", "MethodResult", "compare"]
