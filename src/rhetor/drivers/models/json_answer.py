"""Answers in JSON: how each API is asked for them, and the check of what a model gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from rhetor.codec.json_schema import NotMatching, matched
from rhetor.domain.output import Began, Done, Output, Text
from rhetor.errors import InvalidAnswer

NAME = "answer"
AGAIN = "send the message again, or simplify the schema"
LONGER = "ask for a shorter answer, or use a model with a higher limit of output tokens"


def openai_fields(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return the members of a request for chat completions."""
    if schema is None:
        return {}
    wanted = {"name": NAME, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def anthropic_fields(schema: dict[str, Any] | None) -> dict[str, Any]:
    """Return the members of a request for the Messages API."""
    if schema is None:
        return {}
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


async def checked(
    outputs: AsyncGenerator[Output, None], schema: dict[str, Any] | None, *, whole: bool = True
) -> AsyncGenerator[Output, None]:
    """Yield the outputs of a turn, whose answer must match the schema. `whole`: it must also be complete;
    otherwise one that is cut off, refused or has tool calls is left to the client, which sees why it ended.

    Raises:
        InvalidAnswer: it was cut off, is not JSON, or does not match.
    """
    said: list[str] = []
    model = ""
    async with aclosing(outputs) as stream:
        async for output in stream:
            if isinstance(output, Began):
                model = output.model
            elif isinstance(output, Text) and output.channel == "answer":
                said.append(output.text)
            elif (
                isinstance(output, Done) and schema is not None and (whole or output.finish_reason == "stop")
            ):
                await _check("".join(said), output.finish_reason, schema, model)
            yield output


async def _check(answer: str, reason: str, schema: dict[str, Any], model: str) -> None:
    about: dict[str, Any] = {"model": model, "provider": model.partition("/")[0], "status": None}
    if reason != "stop":
        detail = f"the JSON answer of {model} is not complete ({reason})"
        raise InvalidAnswer(detail, hint=LONGER, finish_reason=reason, **about)
    try:
        await asyncio.to_thread(matched, answer, schema)
    except NotMatching as error:
        raise InvalidAnswer(
            f"the answer of {model} does not match the schema: {error}", hint=AGAIN, **about
        ) from error
