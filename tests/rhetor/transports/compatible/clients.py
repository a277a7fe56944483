"""Clients of the vendors' APIs, for a hub with scripted peers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.served import TOKEN, Served


@asynccontextmanager
async def openai(home: Served, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """Open a client of OpenAI's that calls the hub, and does not repeat requests."""
    options = {"api_key": TOKEN, "max_retries": 0, **options}
    async with AsyncOpenAI(base_url=f"{home.node.url}/v1", **options) as client:
        yield client


@asynccontextmanager
async def anthropic(home: Served, **options: Any) -> AsyncIterator[AsyncAnthropic]:
    """Open a client of Anthropic's that calls the hub, and does not repeat requests."""
    options = {"api_key": TOKEN, "max_retries": 0, **options}
    async with AsyncAnthropic(base_url=home.node.url, **options) as client:
        yield client
