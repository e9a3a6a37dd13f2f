"""Adapting a network to the scene it is about to fuse: a few seconds of training on the scene itself.

``samples`` cuts windows out of a scene, ``objectives`` say what is learnt from them, ``run`` learns, and
keeps the result only where windows it did not learn from are the better for it.
"""

from pancli.adaptation.objectives import LOSSES
from pancli.adaptation.run import Adaptation, AdaptTerms, adapt

__all__ = ["LOSSES", "AdaptTerms", "Adaptation", "adapt"]
