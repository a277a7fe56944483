"""What Claude models take of the options that differ between them, by their names.

A client that names a peer as its model cannot know this. Models with other names are expected to take
everything. A test compares this with the tables of pydantic-ai, which takes too long to load to be used here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_NAME = re.compile(r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d)(?:[-.](?P<minor>\d))?(?!\d)")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_SAME = {"none": "low", "minimal": "low"}


class ClaudeModel(NamedTuple):
    """`adaptive`: it takes adaptive thinking. `budget`: it takes a number of tokens to think with. `stops`:
    thinking can be disabled. `samples`: it takes `temperature`, `top_p` and `top_k`. `efforts`: those that
    it takes."""

    adaptive: bool = True
    budget: bool = True
    stops: bool = True
    samples: bool = True
    efforts: tuple[str, ...] = _EFFORTS

    def effort(self, wanted: str) -> str:
        """Return the effort that comes nearest and is not more; empty if the model takes none."""
        wanted = _SAME.get(wanted, wanted)
        if wanted not in _EFFORTS or wanted in self.efforts:
            return wanted if self.efforts else ""
        lower = [each for each in self.efforts if _EFFORTS.index(each) < _EFFORTS.index(wanted)]
        return lower[-1] if lower else ""


_ANY = ClaudeModel()


@lru_cache(maxsize=256)
def claude_model(name: str) -> ClaudeModel:
    """Return what a model takes."""
    name = name.rpartition("/")[2].lower()
    if name.startswith("claude-mythos-preview"):
        return ClaudeModel(stops=False, efforts=())
    found = _NAME.match(name)
    if found is None:
        return _ANY
    family, version = found["family"] or "", (int(found["major"]), int(found["minor"] or 0))
    efforts: tuple[str, ...] = ()
    if version >= (4, 7):
        efforts = _EFFORTS
    elif version >= (4, 6):
        efforts = ("low", "medium", "high", "max")
    elif family == "opus" and version >= (4, 5):
        efforts = _EFFORTS[:3]
    return ClaudeModel(
        adaptive=version >= (4, 6),
        budget=version < (4, 7),
        stops=not (family in ("fable", "mythos") or (family == "opus" and version >= (5, 5))),
        samples=version < (4, 7),
        efforts=efforts,
    )
