"""What fuses: the Method protocol, the classical families, the adapter that makes a network a Method.

``protocol`` defines Method, Contract, TileImage; ``registry`` is the one table of names. One file per
family: each method is a frozen dataclass with ``radius``, ``fit`` and ``fuse``. Everything global is in
the state that ``fit`` returns, so every tile sees the same numbers and no tile size shows.
"""
