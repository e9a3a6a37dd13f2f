"""The one table of networks."""

from __future__ import annotations

from pancli.errors import WeightsError
from pancli.networks.bandset import BandSet, BandSetLarge, BandSetSmall
from pancli.networks.gcpnet import GCPNet
from pancli.networks.gppnn import GPPNN
from pancli.networks.lambda_pnn import LambdaPNN
from pancli.networks.mdcun import MDCUN
from pancli.networks.msdcnn import MSDCNN
from pancli.networks.msinn import MSINN, MSINNRefined
from pancli.networks.pannet import PanNet
from pancli.networks.pannet_pgcu import PanNetPGCU
from pancli.networks.pnn import PNN
from pancli.networks.premix import PreMixB, PreMixH
from pancli.networks.protocol import Network
from pancli.networks.residual_pnn import ResidualPNN
from pancli.networks.sfinet import SFINet
from pancli.networks.srppnn import SRPPNN
from pancli.networks.ssml import SSMLSpatial, SSMLSpectral
from pancli.networks.utsn import UTSN

NETWORKS: dict[str, type[Network]] = {
    "bandset": BandSet,
    "bandset-small": BandSetSmall,
    "bandset-large": BandSetLarge,
    "gcpnet": GCPNet,
    "gppnn": GPPNN,
    "lambda-pnn": LambdaPNN,
    "mdcun": MDCUN,
    "msdcnn": MSDCNN,
    "msinn": MSINN,
    "msinn-refined": MSINNRefined,
    "pannet": PanNet,
    "pannet-pgcu": PanNetPGCU,
    "pnn": PNN,
    "premix-b": PreMixB,
    "premix-h": PreMixH,
    "residual-pnn": ResidualPNN,
    "sfinet": SFINet,
    "srppnn": SRPPNN,
    "ssml-spatial": SSMLSpatial,
    "ssml-spectral": SSMLSpectral,
    "utsn": UTSN,
}
"""Network classes by name."""


def find_network(name: str) -> type[Network]:
    """The class of that name.

    Raises:
        WeightsError: No such network; the message lists the known ones.
    """
    if name not in NETWORKS:
        raise WeightsError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[name]
