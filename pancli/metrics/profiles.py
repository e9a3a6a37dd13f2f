"""Whose definitions figures can follow, and which options mean something to them.

Data alone, without torch, so that the terminal can list it at once; the code of each is in ``evaluation``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of definitions.

    Attributes:
        whose: In a few words, for help.
        takes: Options, beyond those that every profile takes, that change its figures.
    """

    whose: str
    takes: frozenset[str]


PROFILES: dict[str, Profile] = {
    "pancli": Profile("ours", frozenset({"--block", "--mtf-gain", "--peak", "--map", "--radians"})),
    "dlpan": Profile("the DLPan toolbox's", frozenset({"--block", "--mtf-gain", "--radians"})),
    "gcpnet": Profile("those of GCPNet's code", frozenset({"--block", "--peak"})),
    "premix": Profile("those of PreMix's code", frozenset({"--peak"})),
    "torchmetrics": Profile("torchmetrics 1.9's", frozenset({"--peak"})),
}
"""By name; the first is the default."""


def profiles_with(option: str) -> str:
    """Names of the profiles to which an option means something, comma-separated.

    >>> profiles_with("--map")
    'pancli'
    """
    return ", ".join(name for name, profile in PROFILES.items() if option in profile.takes)
