"""How the library tells of work that is being done."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage that is at work, how much of it is done, and how much there is (0: not known).

Of ``sharpen`` the stages are "adapt" (in seconds), "fit" and "fuse" (in tiles), of ``degrade`` "reduce", of
``eval`` "measure"; ``compare`` gives the name of a method, and how much of everything is done."""
