from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from pancli.raster.gdal_brovey import GdalBrovey
from pancli.tiling import Window


def test_a_tile_goes_through_the_blocks_that_it_lies_on_and_no_others(monkeypatch):
    """Every tile went through every block of the scene: the time grew with the square of its pixels."""
    read, met, intersect = [], [], Window.intersect
    rows = np.arange(40_000, dtype=np.float32)

    def values(window):
        read.append((window.row_off, window.col_off, window.height, window.width))
        part = rows[window.row_off : window.row_off + window.height, None]
        return np.broadcast_to(part, (1, window.height, window.width))

    def counted(self, other):
        met.append(self)
        return intersect(self, other)

    vrt = GdalBrovey(SimpleNamespace(count=1, shape=(40_000, 40_000), read=values), row=-3, col=10)
    monkeypatch.setattr(Window, "intersect", counted)
    out = vrt.read(Window(1100, 39_940, 30, 100))
    assert read == [(1024, 39_424, 512, 512), (1024, 39_936, 512, 64)]
    assert len(met) < 20
    assert (out[0, :, :70] == np.arange(1103, 1133)[:, None]).all()
    assert (out[0, :, 70:] == 0).all()
    assert (vrt.read(Window(-500, 0, 20, 20)) == 0).all()
    assert len(read) == 2
