"""Masks known secrets in what a program prints between turns, even if it prints a secret in pieces, and in
its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from msgspec.structs import replace

from rhetor.background import stop
from rhetor.domain.output import Spooled
from rhetor.domain.program import Dialog, ProgramStatus
from rhetor.domain.secrets import Secrets
from rhetor.hub.core.masking import MaskedOutputs

HOLD_SECONDS = 1.0  # how long the beginning of a secret waits for the rest


def masked_status(status: ProgramStatus, secrets: Secrets) -> ProgramStatus:
    """Return the status with the secrets masked in what it has from the program's screen."""
    if not secrets:
        return status
    mask, dialog, screen = secrets.mask_shown, status.dialog, status.screen
    return replace(
        status,
        evidence=mask(status.evidence),
        reasons=tuple(map(mask, status.reasons)),
        dialog=dialog and Dialog(mask(dialog.text), tuple(map(mask, dialog.options))),
        screen=None if screen is None else tuple(map(mask, screen)),
    )


async def masked(
    outputs: AsyncGenerator[Spooled, None], masks: MaskedOutputs
) -> AsyncGenerator[Spooled, None]:
    """Yield the outputs with the secrets masked. What may be the beginning of a secret waits for the next
    output, at most `HOLD_SECONDS`. If nothing else is in an output, its offset waits too."""
    upcoming = None
    last: Spooled | None = None
    try:
        while True:
            if masks.holds and last is not None:
                upcoming = asyncio.ensure_future(anext(outputs, None))
                if not (await asyncio.wait((upcoming,), timeout=HOLD_SECONDS))[0]:
                    yield Spooled(last.source, last.offset, tuple(masks.settle()))
            spooled = await (upcoming or anext(outputs, None))
            upcoming = None
            if spooled is None:
                break
            last = spooled
            for output in masks.take(spooled):
                if isinstance(output, Spooled) and (output.outputs or not masks.holds):
                    yield output
        if last is not None and masks.holds:
            yield Spooled(last.source, last.offset, tuple(masks.settle()))
    finally:
        if upcoming is not None:
            await stop(upcoming)
