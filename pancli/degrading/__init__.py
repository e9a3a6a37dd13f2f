"""Reduced pairs with a known answer, by Wald's protocol: pan.tif, ms.tif and reference.tif in a folder.

ms itself becomes the reference. Both images are blurred and sampled more coarsely, so that the new pan has
ms's pixels and the new ms has pixels ``ratio`` times as large; sharpening them should give ms back (Wald et
al., "Fusion of satellite images of different spatial resolutions", PE&RS 1997). The blur is a Gaussian that
leaves, at the Nyquist frequency of the coarser grid, what the sensor's optics leave there (Aiazzi et al.,
"MTF-tailored multiscale fusion of high-resolution MS and Pan imagery", PE&RS 2006), so that a coarse pixel
is to its grid what a fine one is to its own. That holds for pan too: it gets the pan gain. Vivone et al.
(IEEE TGRS 2015) resize pan with an antialiased cubic instead, which leaves it sharper than the sensor would.

Pixels pass through float32: exact for whole numbers of up to 24 bits.

``options`` says what can be asked for, ``reduction`` where the new images lie, ``job`` makes their pixels
of an open pair, ``product`` says what the files say of themselves, ``run`` streams tiles. The call is
:func:`degrade_pair`.
"""

from pancli.degrading.options import DegradeOptions
from pancli.degrading.run import DegradeReport, degrade_pair

__all__ = ["DegradeOptions", "DegradeReport", "degrade_pair"]
