"""Prometheus' text format, version 0.0.4. This module formats numbers and does not know their meaning.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Labels = Mapping[str, str]


class Family(Struct, frozen=True):
    """All samples of one metric. Each sample: the suffix of its name, its labels, its value."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: Sequence[tuple[str, Labels, float]]


def gauge(name: str, help: str, value: float) -> Family:
    return Family(name, "gauge", help, [("", {}, value)])


def counter(name: str, help: str, value: float) -> Family:
    return Family(name, "counter", help, [("", {}, value)])


def labelled(
    name: str, kind: Literal["counter", "gauge"], help: str, values: Iterable[tuple[Labels, float]]
) -> Family:
    return Family(name, kind, help, [("", labels, value) for labels, value in values])


def histogram(name: str, help: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Family:
    """Return a histogram.

    `counts`: the number of observations up to each bound, not cumulative, and above the last bound. `total`:
    the sum of the observations.
    """
    up_to = list(accumulate(counts))
    edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    buckets = [("_bucket", {"le": edge}, float(count)) for edge, count in zip(edges, up_to, strict=True)]
    return Family(name, "histogram", help, [*buckets, ("_sum", {}, total), ("_count", {}, up_to[-1])])


def exposition(families: Iterable[Family]) -> bytes:
    return "".join(line + "\n" for family in families for line in _lines(family)).encode()


def _lines(family: Family) -> Iterator[str]:
    said = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {said}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, labels, value in family.samples:
        shown = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        braced = f"{{{shown}}}" if shown else ""
        yield f"{family.name}{suffix}{braced} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
