"""Errors with which a turn ends. Its message was accepted, so the log has the message and the error."""

from __future__ import annotations

from typing import Any

from .base import PROVIDER_FAILED, TIMED_OUT, RhetorError


class TurnFailure(RhetorError):
    """A turn ended without an answer. Its message was accepted, and is not sent again automatically."""

    code, status, rpc = "turn_failed", 502, PROVIDER_FAILED

    def __init__(self, detail: str, *, retryable: bool = False, **data: Any) -> None:
        super().__init__(detail, **data)
        self.retryable = retryable


class ProviderFailed(TurnFailure):
    """A model provider returned an error. `data` has provider, model, status (HTTP's, or null) and hint."""

    code = "provider_failed"


class ProviderUnreachable(ProviderFailed):
    """No connection to the provider could be made."""

    code = "provider_unreachable"


class ProviderCut(ProviderFailed):
    """The provider's stream ended early or became unreadable."""

    code = "provider_cut"


class EmptyAnswer(ProviderFailed):
    """The answer is complete, but has no text; `data["finish_reason"]` says why the model ended it."""

    code = "empty_answer"


class InputUnsupported(ProviderFailed):
    """The model or the agent does not take a part of the message. The message was not sent to it."""

    code, status = "unsupported", 422


class InvalidAnswer(ProviderFailed):
    """The answer is not JSON, was cut off, or does not match the schema that the message asked for."""

    code = "invalid_answer"


class ProviderDenied(ProviderFailed):
    """The key is invalid or missing, or does not give access to the model (401, 403)."""

    code = "provider_denied"


class RateLimited(ProviderFailed):
    """The provider returned 429 or 529; `data["retry_after"]` is in seconds, if the provider sent it."""

    code = "rate_limited"


class ProviderCooling(ProviderFailed):
    """The provider was not called, because several turns in a row had failed there. `data["retry_after"]` is
    the number of seconds until the hub calls it again."""

    code = "provider_cooling"


class ContextOverflow(ProviderFailed):
    """The prompt is longer than the model accepts."""

    code = "context_overflow"


class ProviderTimeout(ProviderFailed):
    """The provider took too long; `data["phase"]` says in what: connect, first_chunk, idle or total."""

    code, status, rpc = "timeout", 504, TIMED_OUT


class ModelUnknown(ProviderFailed):
    """The model, or the provider that its name begins with, does not exist."""

    code = "model_unknown"


class ToolCallRefused(TurnFailure):
    """The model's tool calls cannot be executed: they are too large or too many, or repeatedly invalid."""

    code = "tool_call_refused"
    hint = "rephrase the message, or use another model"


class ToolUnanswered(TurnFailure):
    """The client did not return a tool's result in time."""

    code, status, rpc = "tool_unanswered", 504, TIMED_OUT


class ToolServerFailed(TurnFailure):
    """An MCP server of the peer is not usable; `data` has its name and a hint."""

    code = "tool_server_failed"


class ProgramEnded(TurnFailure):
    """The peer's program, or its host process, ended before the answer was complete; `data` has `exit_code`
    or `signal`."""

    code = "program_ended"


class HostSilent(TurnFailure):
    """The host process of a program does not answer: it is stopped, or hangs. Its program still runs. What
    was written to the host may take effect when it continues."""

    code, status, rpc = "host_silent", 504, TIMED_OUT

    def __init__(self, host_id: str) -> None:
        super().__init__(
            "the program's host process does not answer; continue it, or end the program with --force",
            retryable=True,
            host=host_id,
        )


class ProgramBlocked(TurnFailure):
    """The program's screen shows a question that typed text would answer. Nothing was typed; `data` has the
    question."""

    code = "program_blocked"
    hint = "answer it in the program (aish tools attach NAME), and send the message again"


class NotEchoed(TurnFailure):
    """The terminal did not echo the typed text, so the text was not submitted."""

    code = "not_echoed"
