"""Turns an agent's error message into a typed failure with a hint. It knows no agent's protocol."""

from __future__ import annotations

import re
from time import time

from rhetor.domain.quota import reset_time
from rhetor.drivers.resets import said_in
from rhetor.errors import (
    ContextOverflow,
    ModelUnknown,
    ProviderCut,
    ProviderDenied,
    ProviderFailed,
    ProviderUnreachable,
    RateLimited,
    TurnFailure,
)

from .logins import how_to_log_in

_LOG_IN = "log in to the agent again, or check its key"
_MAX_WORDS = 500  # characters of the agent's own words that are kept
# the wordings of claude 2.1, codex 0.169, gemini 0.61 and copilot 1.0
_LOST = re.compile(
    r"no conversation found|no message found|no rollout found|no previous sessions found"
    r"|invalid session identifier|missing source rollout"
    r"|turn (?:was )?not found|resource not found: session",
    re.IGNORECASE,
)
_LOGGED_OUT = re.compile(
    r"not logged in|run /login|invalid api key|authentication required|it requires a login|please log ?in",
    re.IGNORECASE,
)
_LIMITED = re.compile(
    r"limit reached|hit your (?:[\w-]+ )?limit|usage limit|out of (?:extra )?usage|quota|"
    r"exhausted your capacity",
    re.IGNORECASE,
)
_OVERFLOW = re.compile(r"prompt is too long|context (?:window|length|limit)|room in the model", re.IGNORECASE)


class Interrupted(TurnFailure):
    """The agent has ended the turn because it was interrupted."""

    code = "interrupted"

    def __init__(self, agent: str) -> None:
        super().__init__(f"{agent} was interrupted", retryable=True)


def limited(agent: str, said: str, at: float | None, model: str | None = None) -> RateLimited | None:
    """Return the failure if the agent has reached a usage limit that resets at a known time.

    `at`: that time, if the agent has reported it apart from its message (Unix time); otherwise, the message
    may name it.
    """
    if at is None:
        at = said_in(said, time())
    when = reset_time(at)
    if when is None:
        return None
    return RateLimited(
        f"{agent} has reached its usage limit: {_words(said)}",
        retryable=True,
        provider=agent,
        model=model,
        status=429,
        resets_at=when,
        hint="send the message again when the limit has been reset, or to another peer",
    )


def failed(agent: str, said: str, *, retryable: bool = False) -> TurnFailure:
    """Return the failure for an error that does not come from a model provider. If the agent says that it is
    not logged in, the hint says how to log in."""
    if _LIMITED.search(said) and (failure := limited(agent, said, None)) is not None:
        return failure
    if _LOGGED_OUT.search(said):
        return ProviderDenied(
            f"{agent} is not logged in: {_words(said)}", provider=agent, hint=how_to_log_in(agent) or _LOG_IN
        )
    return TurnFailure(f"{agent} failed: {_words(said)}", retryable=retryable)


def is_of_lost_conversation(failure: TurnFailure | None) -> bool:
    """Return whether the failure means that the agent no longer has the conversation. If so, add to the
    failure's detail that the next message begins a new one."""
    if failure is None or not _LOST.search(failure.detail):
        return False
    failure.detail += "; the next message begins a new conversation"
    return True


def refused(
    agent: str, said: str, status: int | None, model: str | None, resets_at: float | None = None
) -> ProviderFailed:
    """Return the failure for a provider's error that the agent reports after its own retries. `status`: the
    HTTP status, None if there was no response. `resets_at`: as `at` in `limited`."""
    is_limit = status in (402, 429) or _LIMITED.search(said) is not None
    if is_limit and (failure := limited(agent, said, resets_at, model)) is not None:
        return failure
    kind, retryable, hint = _status(status, said)
    if kind is ProviderDenied:
        hint = how_to_log_in(agent) or hint
    return kind(
        f"{agent} got no answer from its model: {_words(said)}",
        retryable=retryable,
        provider=agent,
        model=model,
        status=status,
        hint=hint,
    )


def _status(status: int | None, said: str) -> tuple[type[ProviderFailed], bool, str]:
    if status == 413 or (status in (None, 400, 422) and _OVERFLOW.search(said)):
        return ContextOverflow, False, "start a new session, or let the agent compact this one"
    if status in (401, 403):
        return ProviderDenied, False, _LOG_IN
    if status == 404:
        return ModelUnknown, False, "check the model that the agent is configured to use"
    if status in (429, 529):
        return RateLimited, True, "wait a moment and send the message again"
    if status is None and "disconnected" in said:
        return ProviderCut, True, "send the message again; the partial answer is kept"
    if status is None:
        return ProviderUnreachable, True, "check that the agent's provider is reachable from this machine"
    if status == 408 or status >= 500:
        return ProviderFailed, True, "send the message again later; the provider has a problem"
    return ProviderFailed, False, "the provider does not accept this request; see its message"


def _words(said: str) -> str:
    return " ".join(said.split())[:_MAX_WORDS] or "no reason given"
