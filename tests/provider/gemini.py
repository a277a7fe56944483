"""Gemini's generateContent, as https://ai.google.dev/api/generate-content describes it.

The model and the method are in the path, not in the body: the server adds `model` and `stream` to the body
that is read here. Each tool call is one chunk.
"""

from typing import Any

import msgspec

from tests.provider.dialect import Body, Frames, data, text_of
from tests.provider.script import Asked, Failure, Script, ToolCall, Usage, usage_of

_FINISH = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}

# status or reason → (status, message), as observed from the API
_WORDS: dict[int | str, tuple[str, str]] = {
    401: ("UNAUTHENTICATED", "API keys are not supported by this API."),
    403: ("PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
    404: ("NOT_FOUND", "Not found."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    "context_overflow": (
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "quota": ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "unknown_model": ("NOT_FOUND", "The model is not found for API version v1beta."),
}
_OTHER_CLIENT = ("INVALID_ARGUMENT", "Request contains an invalid argument.")
_OTHER_SERVER = ("INTERNAL", "An internal error has occurred.")

Part = dict[str, Any]


def asked(body: Body, /) -> Asked:
    """Return model, last user message and options of a request."""
    contents = body.get("contents") or []
    said = [text_of(content.get("parts")) for content in contents]
    users = [
        text
        for content, text in zip(contents, said, strict=True)
        if text and content.get("role", "user") == "user"
    ]
    instruction = text_of((body.get("systemInstruction") or {}).get("parts"))
    return Asked(
        model=body["model"],
        text=users[-1] if users else "",
        words=sum(len(text.split()) for text in (instruction, *said)),
        stream=bool(body.get("stream")),
    )


def answer(script: Script, asked: Asked, /) -> bytes:
    """Return the whole answer as one JSON object."""
    parts = [*_thoughts(("".join(script.reasoning),) if script.reasoning else ())]
    parts += [{"text": "".join(script.chunks)}] if script.chunks or not script.tool_calls else []
    parts += [_call(call) for call in script.tool_calls]
    return msgspec.json.encode(_answer(asked.model, parts, script.finish, usage_of(script, asked)))


def frames(script: Script, asked: Asked, /) -> Frames:
    """Return the answer as a stream: one part per chunk, then a part with reason and usage without text."""
    texts: list[Part] = [{"text": text} for text in script.chunks]
    parts = [*_thoughts(script.reasoning), *texts, *map(_call, script.tool_calls)]
    chunks = tuple(data(_answer(asked.model, [part])) for part in parts)
    ending = _answer(asked.model, [{"text": ""}], script.finish, usage_of(script, asked))
    return Frames(b"", chunks, data(ending))


def refusal(failure: Failure, /) -> bytes:
    """Return the body of an error."""
    other = _OTHER_SERVER if failure.status >= 500 else _OTHER_CLIENT
    status, message = _WORDS.get(failure.reason) or _WORDS.get(failure.status) or other
    return msgspec.json.encode({"error": {"code": failure.status, "message": message, "status": status}})


def stream_error(failure: Failure, /) -> bytes:
    """Return an error as an event of a stream that has started."""
    return b"data: " + refusal(failure) + b"\n\n"


def malformed() -> bytes:
    """Return an event whose data is truncated JSON."""
    return b'data: {"candidates":[{"content":{"parts":[{"text":"br\n\n'


def models(names: tuple[str, ...], /) -> bytes:
    """Return the list of models."""
    methods = ["generateContent", "countTokens"]
    rows = [
        {
            "name": f"models/{name}",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": methods,
        }
        for name in names
    ]
    return msgspec.json.encode({"models": rows})


def counted(asked: Asked, /) -> bytes:
    """Return the answer to `countTokens`: one token per word."""
    return msgspec.json.encode({"totalTokens": asked.words})


def _thoughts(texts: tuple[str, ...]) -> list[Part]:
    return [{"text": text, "thought": True} for text in texts]


def _call(call: ToolCall) -> Part:
    return {"functionCall": {"id": call.id, "name": call.name, "args": msgspec.json.decode(call.arguments)}}


def _answer(
    model: str, parts: list[Part], finish: str | None = None, usage: Usage | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = _FINISH.get(finish, "STOP")
    counts = {} if usage is None else {"usageMetadata": _usage(usage)}
    return {"candidates": [candidate], **counts, "modelVersion": model, "responseId": "r1"}


def _usage(usage: Usage) -> dict[str, int]:
    """Return the usage. Gemini's `candidatesTokenCount` excludes thoughts."""
    return {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
    }
