"""The one table of classical methods."""

from __future__ import annotations

from pancli.methods.bdsd import BDSD
from pancli.methods.component_substitution import BROVEY, GRAM_SCHMIDT, GSA, IHS, PCA
from pancli.methods.guided import GFPCA
from pancli.methods.interpolation import EXP
from pancli.methods.multiresolution import HPF, MTF_GLP, MTF_GLP_HPM, SFIM, WAVELET
from pancli.methods.protocol import Method
from pancli.methods.unmixing import CNMF

_ALL: tuple[Method, ...] = (
    EXP,
    BROVEY,
    IHS,
    SFIM,
    HPF,
    WAVELET,
    PCA,
    GRAM_SCHMIDT,
    GSA,
    BDSD,
    MTF_GLP,
    MTF_GLP_HPM,
    GFPCA,
    CNMF,
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
"""Classical methods by name, from the simplest to the most elaborate."""
