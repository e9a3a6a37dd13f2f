"""One pair in, one file out: plan, fit, tile, commit.

``options`` says what can be asked for, ``catalog`` finds a method by name, ``plan`` opens the pair and
decides everything before a pixel is fused, ``sizing`` how large tiles are, ``product`` what the output says
of itself, ``beside`` what is written with it. ``run`` streams tiles from reader to writer, in smaller ones
where ``memory`` does not suffice; ``report`` is what came of it. The two calls are :func:`plan_sharpening`
and :func:`sharpen`.
"""

from pancli.sharpening.options import SharpenOptions
from pancli.sharpening.plan import Plan, plan_sharpening
from pancli.sharpening.report import SharpenReport
from pancli.sharpening.run import sharpen

__all__ = ["Plan", "SharpenOptions", "SharpenReport", "plan_sharpening", "sharpen"]
