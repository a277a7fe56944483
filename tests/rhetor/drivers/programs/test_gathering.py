"""Output between turns is gathered: the first piece is passed on at once, a burst after it in few pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain import event as ev
from rhetor.domain.output import Plain, Record, Spooled, Text
from rhetor.drivers.programs import gathering
from rhetor.drivers.programs.gathering import gathered
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import SECONDS, with_programs

pytestmark = pytest.mark.anyio

LINES = 300
BURST = f"for n in range({LINES}): print(n, flush=True)\nimport time\ntime.sleep(600)"


async def _said(items: Sequence[Spooled], gaps: Sequence[float] = ()) -> AsyncGenerator[Spooled, None]:
    for item, gap in zip(items, [*gaps, *[0.0] * len(items)], strict=False):
        await asyncio.sleep(gap)
        yield item


def _text(offset: int, text: str) -> Spooled:
    return Spooled("out", offset, (Text(text),))


async def test_the_first_output_is_passed_on_at_once_and_the_next_ones_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)
    items = [_text(n, f"{n}\n") for n in range(100)]
    found = [spooled async for spooled in gathered(_said(items))]
    assert found[0] == items[0]
    assert found[1:] == [_text(99, "".join(f"{n}\n" for n in range(1, 100)))]


async def test_a_burst_is_split_by_size_and_ends_with_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 60.0)
    items = [_text(n, "x" * 1000) for n in range(11)]
    lengths = [len(s.outputs[0].text) async for s in gathered(_said(items))]  # type: ignore[union-attr]
    assert lengths == [1000, 5000, 5000]
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 0.01)
    items = [_text(1, "a"), _text(2, "b"), _text(3, "c")]
    assert [spooled async for spooled in gathered(_said(items, (0.0, 0.0, 0.3)))] == items


PIECES = st.one_of(st.builds(Text, st.text("ab\n", min_size=1), st.sampled_from(["answer", "stderr"])),
                   st.builds(Record, st.just({"type": "x"})))  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["out", "err"]), st.lists(PIECES, max_size=3)), max_size=20))
async def test_gathering_keeps_the_outputs_of_each_spool_and_their_order(
    pieces: list[tuple[str, list[Plain]]],
) -> None:
    items = [Spooled(source, n, tuple(outputs)) for n, (source, outputs) in enumerate(pieces)]
    found = [spooled async for spooled in gathered(_said(items))]
    for source in ("out", "err"):
        assert _whole(found, source) == _whole(items, source)
        offsets = [spooled.offset for spooled in found if spooled.source == source]
        assert offsets == sorted(offsets)
        assert offsets[-1:] == [item.offset for item in items if item.source == source][-1:]


def _whole(items: Sequence[Spooled], source: str) -> list[object]:
    """Return the outputs of a spool, with each text split into characters."""
    outputs = [output for item in items if item.source == source for output in item.outputs]
    return [
        each
        for output in outputs
        for each in ([(c, output.channel) for c in output.text] if isinstance(output, Text) else [output])
    ]


async def test_no_task_remains_if_the_reader_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 0.01)
    found = gathered(_said([_text(1, "a"), _text(2, "b"), _text(3, "c")], (0.0, 0.0, 600.0)))
    assert [await anext(found), await anext(found)] == [_text(1, "a"), _text(2, "b")]
    await found.aclose()
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "next output"] == []


async def test_output_between_turns_is_stored_in_few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 2.0)
    whole = "".join(f"{n}\n" for n in range(LINES))
    async with with_programs() as home:
        await home.announce("p", *PYTHON, BURST)
        session = await home.standing("p")
        async with asyncio.timeout(SECONDS):
            while True:
                texts = [p.text for p in await home.log(session) if isinstance(p, ev.OutputDelta)]
                if "".join(texts) == whole:
                    break
                await asyncio.sleep(0.05)
        assert len(texts) < LINES / 10
