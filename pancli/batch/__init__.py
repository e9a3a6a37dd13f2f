"""Many pairs in, one file and one result each: lists, shards, resuming, processes, clusters.

``entries`` says what is to be made and what shard of it; ``listing`` reads that from a list, ``layouts``
finds it in folders as they are delivered; ``record`` knows a result again by its inputs and options;
``scene`` makes one; ``processes``, or a Ray ``cluster``, make many at a time, for whom ``pool`` keeps the
queue; ``run`` is the call: :func:`run_batch`.
"""

from pancli.batch.entries import Entry, Naming, Shard
from pancli.batch.layouts import LAYOUTS, find_entries
from pancli.batch.listing import read_list
from pancli.batch.run import BatchTerms, check_batch, plan_batch, run_batch
from pancli.batch.scene import SceneResult

__all__ = [
    "LAYOUTS",
    "BatchTerms",
    "Entry",
    "Naming",
    "SceneResult",
    "Shard",
    "check_batch",
    "find_entries",
    "plan_batch",
    "read_list",
    "run_batch",
]
