# ruff: noqa: E501  each variant is one line
"""Bodies of answers as providers, relays and local servers send them, each with its expected result.

Written by hand, one quirk each, after reports about such servers. `TEXT` is the whole answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from rhetor.errors import (
    ContextOverflow,
    EmptyAnswer,
    ModelUnknown,
    ProviderCut,
    ProviderDenied,
    ProviderFailed,
    RateLimited,
)

API = Literal["openai", "anthropic"]


class Variant(Struct, frozen=True):
    """One body. It gives `text` and ends with `finish`, or fails with `error` and `words` in its detail."""

    name: str
    api: API
    body: bytes
    text: str = "alpha beta"
    finish: str = "stop"
    error: type[ProviderFailed] | None = None
    words: str = ""
    reasoning: str = ""
    tokens: tuple[int, int] | None = None
    json: bool = False


def ev(value: Any, name: str = "") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return ev({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more})


def raw(choice: Any, **more: Any) -> bytes:
    return ev({"id": "c", "choices": [choice], **more})


DONE = ev("[DONE]")
A, B = chunk({"content": "alpha "}), chunk({"content": "beta"})
STOP = chunk({}, "stop")
END = STOP + DONE


def usage(value: Any) -> bytes:
    return ev({"choices": [], "usage": value})


def openai(name: str, body: bytes, **expected: Any) -> Variant:
    return Variant(f"openai: {name}", "openai", body, **expected)


def fails(name: str, body: bytes, error: type[ProviderFailed], words: str = "", **more: Any) -> Variant:
    return openai(name, body, **{"text": "", "error": error, "words": words, **more})


def whole(message: Any, finish: Any = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], **more}).encode()


COUNTED = {"tokens": (3, 2)}
ANSWER = {"role": "assistant", "content": "alpha beta"}

OPENAI = [
    openai("as documented", chunk({"role": "assistant", "content": ""}) + A + B + END),
    openai("usage after the end", A + B + STOP + usage({"prompt_tokens": 3, "completion_tokens": 2}) + DONE, **COUNTED),
    openai("no [DONE]", A + B + STOP),
    openai("no finish reason", A + B + DONE),
    openai("the finish reason with the last text", A + chunk({"content": "beta"}, "stop") + DONE),
    openai("an empty finish reason in every chunk", chunk({"content": "alpha "}, "") + chunk({"content": "beta"}, "") + END),
    openai("events after [DONE]", A + B + END + ev({"error": "late"}) + ev("nonsense {")),
    openai("events after the finish reason", A + B + STOP + ev({"type": "ping"}) + ev("{broken") + DONE),
    openai("[DONE] with spaces and a pair of quotes", A + B + STOP + ev(' "[DONE]" ')),
    openai("data: null", ev("null") + A + ev("null") + B + END),
    openai("comments and pings", b": OPENROUTER PROCESSING\n\n" + A + ev("{}", "ping") + b": x\n\n" + ev("ping") + B + END),
    openai("an event without data", A + b"event: x\n\ndata:\n\n" + B + END),
    openai("CR LF", (A + B + END).replace(b"\n", b"\r\n")),
    openai("CR", (A + B + END).replace(b"\n", b"\r")),
    openai("no space after the colon", (A + B + END).replace(b"data: ", b"data:")),
    openai("a byte order mark", b"\xef\xbb\xbf" + A + B + END),
    openai("no blank line between events", (A + B + END).replace(b"\n\n", b"\n")),
    openai("no line end after the last event", (A + B + STOP).rstrip()),
    openai("[DONE] without a line end", (A + B + DONE).rstrip()),
    openai("null members", chunk({"role": None, "content": None, "tool_calls": None, "refusal": None}) + A + B
           + raw({"index": None, "delta": None, "finish_reason": "stop", "logprobs": None}, usage=None, error=None) + DONE),
    openai("choices is null in the last chunk", A + B + STOP + ev({"choices": None, "usage": None}) + DONE),
    openai("an empty error object in every chunk", chunk({"content": "alpha beta"}, error={}) + END),
    openai("error: null, false and empty", chunk({"content": "alpha "}, error=False) + chunk({"content": "beta"}, error="") + END),
    openai("the index is text", raw({"index": "0", "delta": {"content": "alpha beta"}}) + END),
    openai("the index is a float", raw({"index": 0.0, "delta": {"content": "alpha beta"}}) + END),
    openai("no index", raw({"delta": {"content": "alpha beta"}}) + END),
    openai("choices is an object", ev({"choices": {"index": 0, "delta": {"content": "alpha beta"}}}) + END),
    openai("a second choice", A + raw({"index": 1, "delta": {"content": "gamma"}}) + B + END),
    openai("both choices in one chunk", ev({"choices": [
        {"index": 0, "delta": {"content": "alpha beta"}}, {"index": 1, "delta": {"content": "gamma"}}]}) + END),
    openai("choices counted from 1", raw({"index": 1, "delta": {"content": "alpha "}}) + raw({"index": 1, "delta": {"content": "beta"}, "finish_reason": "stop"}) + DONE),
    openai("usage in numbers of every type", A + B + STOP + usage({"prompt_tokens": "3", "completion_tokens": 2.0, "total_tokens": None, "prompt_tokens_details": None}) + DONE, **COUNTED),
    openai("usage that is nonsense", A + B + STOP + usage({"prompt_tokens": -1, "completion_tokens": "many"}) + usage("none") + usage([]) + DONE),
    openai("usage with null details", A + B + STOP + usage({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": None}}) + DONE, **COUNTED),
    openai("usage in the choice", A + raw({"index": 0, "delta": {"content": "beta"}, "finish_reason": "stop", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}) + DONE, **COUNTED),
    openai("usage in every chunk", chunk({"content": "alpha "}, usage={"prompt_tokens": 3, "completion_tokens": 1}) + chunk({"content": "beta"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}) + DONE, **COUNTED),
    openai("a cost that is no number", A + B + STOP + usage({"prompt_tokens": 3, "completion_tokens": 2, "cost": "free"}) + DONE, **COUNTED),
    openai("created as text, huge numbers", chunk({"content": "alpha beta"}, created="now", x=10**400) + END),
    openai("NaN beside the text", ev('{"choices": [{"index": 0, "delta": {"content": "alpha beta"}, "logprob": NaN}]}') + END),
    openai("content as a list of parts", chunk({"content": [{"type": "text", "text": "alpha "}, {"type": "text", "text": "beta"}]}) + END),
    openai("content as a list of strings", chunk({"content": ["alpha ", "beta"]}) + END),
    openai("content as an object", chunk({"content": {"type": "text", "text": "alpha beta"}}) + END),
    openai("text with a value", chunk({"content": [{"type": "text", "text": {"value": "alpha beta"}}]}) + END),
    openai("a part that thinks", chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "alpha beta"}]}) + END, reasoning="hm"),
    openai("content as a number", chunk({"content": 42}) + END, text="42"),
    openai("message in place of delta", raw({"index": 0, "message": {"content": "alpha "}}) + raw({"index": 0, "message": {"content": "beta"}, "finish_reason": "stop"}) + DONE),
    openai("message beside delta, so far", raw({"index": 0, "delta": {"content": "alpha "}, "message": {"content": "alpha "}})
           + raw({"index": 0, "delta": {"content": "beta"}, "message": {"content": "alpha beta"}})
           + raw({"index": 0, "delta": {}, "message": {"content": "alpha beta"}, "finish_reason": "stop"}) + DONE),
    openai("text in place of delta", raw({"index": 0, "text": "alpha "}) + raw({"index": 0, "text": "beta", "finish_reason": "stop"}) + DONE),
    openai("delta is a string", raw({"index": 0, "delta": "alpha beta"}) + END),
    openai("Ollama's own lines", b'{"model":"m","message":{"role":"assistant","content":"alpha "},"done":false}\n'
           b'{"model":"m","message":{"role":"assistant","content":"beta"},"done":false}\n'
           b'{"model":"m","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":3,"eval_count":2}\n', **COUNTED),
    openai("reasoning and content in one delta", chunk({"reasoning": "hm", "content": "alpha beta"}) + END, reasoning="hm"),
    openai("reasoning twice", chunk({"reasoning": "hm", "reasoning_content": "hm"}) + A + B + END, reasoning="hm"),
    openai("a bad byte", ev({"choices": [{"delta": {"content": "al"}}]}) + b'data: {"choices":[{"delta":{"content":"p\xffha"}}]}\n\n' + END, text="alp\ufffdha"),
    openai("a character in two escapes", b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\ude00b"}}]}\n\n' + END, text="a\U0001f600b"),
    openai("a character in two chunks of bytes", b'data: {"choices":[{"delta":{"content":"a\xf0\x9f"}}]}\n\ndata: {"choices":[{"delta":{"content":"\x98\x80b"}}]}\n\n' + END, text="a\U0001f600b"),
    openai("half a character at the end", b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n' + END, text="a\ufffd"),
    openai("half a character before whole text", b'data: {"choices":[{"delta":{"content":"a\\ud83d"}}]}\n\n' + B + END, text="a\ufffdbeta"),
    openai("a raw control character in a string", b'data: {"choices":[{"delta":{"content":"a\x01b"}}]}\n\n' + END, text="a\x01b"),
    openai("a whole completion", whole(ANSWER, usage={"prompt_tokens": 3, "completion_tokens": 2}), json=True, **COUNTED),
    openai("a whole completion, declared as a stream", whole(ANSWER)),
    openai("a whole completion, indented", json.dumps(json.loads(whole(ANSWER)), indent=2).encode(), json=True),
    openai("a whole completion without a finish reason", whole(ANSWER, None), json=True),
    openai("a whole completion as the one event", ev(whole(ANSWER).decode()) + DONE),
    openai("a list of chunks", json.dumps([json.loads(each[6:]) for each in (A, B, STOP)]).encode(), json=True),
    openai("another name for the end", A + B + chunk({}, "eos") + DONE),
    openai("the end in capitals", A + B + chunk({}, "STOP") + DONE),
    openai("cut at the limit", A + B + chunk({}, "length") + DONE, finish="length"),
    openai("cut at another limit", A + B + chunk({}, "MAX_TOKENS") + DONE, finish="length"),
    openai("cut by a filter", A + B + chunk({}, "content_filter") + DONE, finish="content_filter"),
    openai("cut by another filter", A + B + chunk({}, "SAFETY") + DONE, finish="content_filter"),
    openai("a refusal", chunk({"refusal": "I cannot."}) + END, text="I cannot.", finish="refusal"),
    openai("a finish reason as an object", A + B + chunk({}, {"type": "length", "length": 2}) + DONE, finish="length"),
    openai("a response that did not fail", A + ev({"type": "response.created", "response": {"status": "in_progress", "error": None}}) + B + END),
    openai("statuses that are good", A + ev({"success": True, "code": 200, "status": "ok"}) + raw({"delta": {"content": "beta"}}, base_resp={"status_code": 0}, x_groq={"id": "r"}) + END),
    openai("Cohere's limit", A + B + chunk({}, "ERROR_LIMIT") + DONE, finish="length"),
    openai("an end that is not known", A + B + chunk({}, "tired") + DONE, finish="tired"),
    fails("no text at all", END, EmptyAnswer, "without text"),
    fails("only blank text", chunk({"content": " \n"}) + END, EmptyAnswer, text=" \n"),
    fails("only reasoning", chunk({"reasoning": "hm"}) + END, EmptyAnswer, reasoning="hm"),
    fails("emptied by a filter", chunk({"content": ""}, "content_filter") + DONE, EmptyAnswer, "content filter"),
    fails("no room for text", chunk({}, "length") + DONE, EmptyAnswer, "limit of tokens"),
    fails("a tool call without tools", chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}) + chunk({}, "tool_calls") + DONE, EmptyAnswer, "called a tool"),
    fails("events of another API", ev({"kind": "words", "words": "alpha"}) + DONE, EmptyAnswer, "words"),
    fails("a whole object of another API", b'{"kind": "words", "words": "alpha"}', EmptyAnswer, "words", json=True),
    fails("an empty body", b"", ProviderCut),
    fails("only comments", b": hello\n\n", ProviderCut),
    fails("an end in mid-stream", A, ProviderCut, text="alpha "),
    fails("an end in mid-event", A + B[:-20], ProviderCut, text="alpha "),
    fails("a broken event", A + ev('{"choices": [{"delta": {"content": "br') + B + END, ProviderCut, "unreadable", text="alpha "),
    fails("finish_reason: error", A + chunk({}, "error") + DONE, ProviderCut, "'error'", text="alpha "),
    fails("finish_reason: insufficient_system_resource", A + chunk({}, "insufficient_system_resource"), ProviderCut, text="alpha "),
    fails("an error in mid-stream", A + ev({"error": {"message": "boom", "type": "server_error"}}), ProviderFailed, "boom", text="alpha "),
    fails("an error in a delta", A + chunk({"content": "", "error": {"message": "boom"}}) + DONE, ProviderFailed, "boom", text="alpha "),
    fails("an error beside text in a delta", A + chunk({"content": "x", "error": {"message": "boom"}}) + DONE, ProviderFailed, "boom", text="alpha "),
    fails("an error beside text in a choice", A + raw({"delta": {"content": "x"}, "error": {"message": "boom"}}) + DONE, ProviderFailed, "boom", text="alpha "),
    fails("Groq's error", A + ev({"choices": [], "x_groq": {"id": "r", "error": "over capacity"}}) + DONE, ProviderFailed, "over capacity", text="alpha "),
    fails("Bedrock's exception", A + ev({"modelStreamErrorException": {"message": "boom", "originalStatusCode": 500}}) + DONE, ProviderFailed, "boom", text="alpha "),
    fails("Bedrock's exception without words", A + ev({"internalServerException": {"x": 1}}) + DONE, ProviderFailed, text="alpha "),
    fails("response.failed of another API", A + ev({"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error", "message": "boom"}}}) + DONE, ProviderFailed, "boom", text="alpha "),
    fails("an event that is named after an error", A + ev({"text": "boom", "choices": []}, "stream_error") + DONE, ProviderFailed, text="alpha "),
    fails("success: false", A + ev({"success": False, "data": None}) + DONE, ProviderFailed, text="alpha "),
    fails("only a status", A + ev({"status": "failed", "id": "x"}) + DONE, ProviderFailed, text="alpha "),
    fails("only a code", A + ev({"code": 503, "data": None}) + DONE, ProviderFailed, text="alpha "),
    fails("MiniMax's status beside a choice", A + raw({"delta": {"content": ""}}, base_resp={"status_code": 1002, "status_msg": "rate limit"}) + DONE, ProviderFailed, "rate limit", text="alpha "),
    fails("finish_reason: upstream_error", A + chunk({}, "upstream_error") + DONE, ProviderCut, "upstream_error", text="alpha "),
    fails("finish_reason: TIMEOUT", A + chunk({}, "TIMEOUT") + DONE, ProviderCut, "timeout", text="alpha "),
    fails("finish_reason: cancelled", A + chunk({}, "cancelled") + DONE, ProviderCut, "cancelled", text="alpha "),
    fails("a finish reason as an object that is an abort", A + chunk({}, {"type": "abort", "message": "killed"}) + DONE, ProviderCut, "abort", text="alpha "),
    fails("Ollama's own lines, cut between two", b'{"message":{"content":"alpha "},"done":false}\n', ProviderCut, text="alpha "),
    fails("Ollama's own lines, cut in one", b'{"message":{"content":"alpha "},"done":false}\n{"message":{"cont', ProviderCut),
    fails("Ollama's own lines with an error", b'{"message":{"content":"alpha "},"done":false}\n{"error":"out of memory"}\n', ProviderFailed, "out of memory"),
    fails("chunks as lines, cut between two", A[6:].replace(b"\n\n", b"\n"), ProviderCut, text="alpha "),
    fails("an error as text", ev({"error": "model 'x' not found"}), ProviderFailed, "model 'x' not found"),
    fails("a list of errors", ev({"error": ["first", "second"]}), ProviderFailed, "first · second"),
    fails("errors as objects", ev({"success": False, "errors": [{"code": 7003, "message": "no route"}]}), ProviderFailed, "no route"),
    fails("an error with a status", ev({"error": {"code": 429, "message": "slow down"}}), RateLimited, "slow down"),
    fails("an error with a status as text", ev({"error": {"code": "401", "message": "who are you"}}), ProviderDenied, "who are you"),
    fails("an error with a name", ev({"error": {"code": "model_not_found", "message": "no m"}}), ModelUnknown, "no m"),
    fails("an error in a choice", raw({"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "upstream"}}), ProviderFailed, "upstream"),
    fails("vLLM's error", ev({"object": "error", "message": "prompt is too long", "type": "BadRequestError", "code": 400}), ContextOverflow, "prompt is too long"),
    fails("FastAPI's detail", ev({"detail": "Not authenticated"}), ProviderFailed, "Not authenticated"),
    fails("FastAPI's validation errors", ev({"detail": [{"loc": ["body", "model"], "msg": "field required", "type": "value_error"}]}), ProviderFailed, "field required (body.model)"),
    fails("a message and a code", ev({"code": "InvalidParameter", "message": "bad top_p", "request_id": "1"}), ProviderFailed, "bad top_p"),
    fails("MiniMax's status", ev({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}), ProviderFailed, "login fail"),
    fails("Baidu's error", ev({"error_code": 17, "error_msg": "Open api daily request limit reached"}), ProviderFailed, "daily request limit"),
    fails("an error event in plain text", ev("upstream is down", "error"), ProviderFailed, "upstream is down"),
    fails("plain text in an event", ev("Internal Server Error"), ProviderFailed, "Internal Server Error"),
    fails("an error within an error", ev({"error": {"message": json.dumps({"error": {"message": "the real one"}})}}), ProviderFailed, "the real one"),
    fails("OpenRouter's raw reason", ev({"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": '{"detail": "no GPU"}'}}}), ProviderFailed, "no GPU"),
    fails("a whole error with status 200", b'{"error": {"message": "quota gone", "type": "insufficient_quota"}}', ProviderFailed, "quota gone", json=True),
    fails("a list with an error", b'[{"error": {"code": 400, "message": "API key not valid"}}]', ProviderFailed, "API key not valid", json=True),
    fails("a web page", b"<!DOCTYPE html><html><head><title>Sign in &amp; go</title></head><body>x</body></html>", ProviderFailed, "Sign in & go"),
    fails("plain text", b"no healthy upstream", ProviderFailed, "no healthy upstream"),
    fails("a whole completion that is cut", whole(ANSWER)[:60], ProviderCut, json=True),
]  # fmt: skip


def an(kind: str, **more: Any) -> bytes:
    return ev({"type": kind, **more}, kind)


def text(words: Any, index: Any = 0) -> bytes:
    return an("content_block_delta", index=index, delta={"type": "text_delta", "text": words})


def started(**usage: Any) -> bytes:
    return an(
        "message_start",
        message={"id": "m", "type": "message", "role": "assistant", "content": [], "usage": usage},
    )


def ended(reason: Any, **usage: Any) -> bytes:
    return an("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage) + an(
        "message_stop"
    )


OPEN = an("content_block_start", index=0, content_block={"type": "text", "text": ""})
SHUT = an("content_block_stop", index=0)
WORDS = text("alpha ") + text("beta")
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "alpha beta"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}


def anthropic(name: str, body: bytes, **expected: Any) -> Variant:
    return Variant(f"anthropic: {name}", "anthropic", body, **expected)


def broken(name: str, body: bytes, error: type[ProviderFailed], words: str = "", **more: Any) -> Variant:
    return anthropic(name, body, **{"text": "", "error": error, "words": words, **more})


ANTHROPIC = [
    anthropic("as documented", started(input_tokens=3, output_tokens=1) + OPEN + an("ping") + WORDS + SHUT + ended("end_turn", output_tokens=2), **COUNTED),
    anthropic("the first text in content_block_start", started() + an("content_block_start", index=0, content_block={"type": "text", "text": "alpha "}) + text("beta") + SHUT + ended("end_turn")),
    anthropic("no content_block_start", started() + WORDS + ended("end_turn")),
    anthropic("text in message_start", an("message_start", message={"content": [{"type": "text", "text": "alpha "}]}) + text("beta") + ended("end_turn")),
    anthropic("no message_start", WORDS + ended("end_turn")),
    anthropic("no message_stop", started() + WORDS + an("message_delta", delta={"stop_reason": "end_turn"})),
    anthropic("[DONE] after the end", started() + WORDS + ended("end_turn") + DONE),
    anthropic("[DONE] in place of the end", started() + WORDS + DONE),
    anthropic("pings after the end", started() + WORDS + ended("end_turn") + an("ping") + an("error", error={"message": "late"})),
    anthropic("no type in the data", ev({"index": 0, "delta": {"text": "alpha beta"}}, "content_block_delta") + ev({}, "message_stop")),
    anthropic("no names of events", started() + WORDS + ended("end_turn").replace(b"event: message_stop\n", b"")),
    anthropic("null members", an("message_start", message=None) + an("content_block_start", index=None, content_block=None) + an("content_block_delta", index=0, delta={"type": "text_delta", "text": "alpha beta", "thinking": None})
              + an("message_delta", delta=None, usage=None) + an("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": None}) + an("message_stop")),
    anthropic("data: null", ev("null") + WORDS + ended("end_turn")),
    anthropic("usage in numbers of every type", started(input_tokens="3", output_tokens=None) + WORDS + ended("end_turn", output_tokens=2.0), **COUNTED),
    anthropic("the index is text", text("alpha ", "0") + text("beta", None) + ended("end_turn")),
    anthropic("text as a list", text([{"type": "text", "text": "alpha beta"}]) + ended("end_turn")),
    anthropic("a delta that is a string", an("content_block_delta", index=0, delta="alpha beta") + ended("end_turn")),
    anthropic("thinking and a signature", an("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}) + an("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"}) + WORDS + ended("end_turn"), reasoning="hm"),
    anthropic("an event that is not known", an("message_note", note="x") + WORDS + ended("end_turn")),
    anthropic("a bad byte", b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a\xffb"}}\n\n' + ended("end_turn"), text="a\ufffdb"),
    anthropic("a character in two escapes", ev('{"type":"content_block_delta","delta":{"text":"a\\ud83d"}}') + ev('{"type":"content_block_delta","delta":{"text":"\\ude00b"}}') + ended("end_turn"), text="a\U0001f600b"),
    anthropic("a whole message", json.dumps(MESSAGE).encode(), json=True, reasoning="hm", **COUNTED),
    anthropic("a whole message as the one event", ev(MESSAGE), reasoning="hm", **COUNTED),
    anthropic("a message with text for content", json.dumps({**MESSAGE, "content": "alpha beta"}).encode(), json=True, **COUNTED),
    anthropic("cut at the limit", WORDS + ended("max_tokens"), finish="length"),
    anthropic("cut at the context window", WORDS + ended("model_context_window_exceeded"), finish="length"),
    anthropic("a refusal after some text", WORDS + ended("refusal"), finish="refusal"),
    broken("a refusal", started() + ended("refusal"), EmptyAnswer, "refused"),
    broken("no room for text", started() + ended("max_tokens"), EmptyAnswer, "limit of tokens"),
    broken("no text at all", started() + OPEN + SHUT + ended("end_turn"), EmptyAnswer),
    broken("a tool call without tools", started() + an("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}}) + ended("tool_use"), EmptyAnswer, "called a tool"),
    broken("an end in mid-stream", started() + text("alpha "), ProviderCut, text="alpha "),
    broken("an error in mid-stream", text("alpha ") + an("error", error={"type": "overloaded_error", "message": "Overloaded"}), RateLimited, "Overloaded", text="alpha "),
    broken("an error in plain text", text("alpha ") + ev("boom", "error"), ProviderFailed, "boom", text="alpha "),
    broken("an error in a delta", text("alpha ") + an("message_delta", delta={"error": {"type": "api_error", "message": "boom"}}) + an("message_stop"), ProviderFailed, "boom", text="alpha "),
    broken("stop_reason: error", text("alpha ") + ended("error"), ProviderCut, "'error'", text="alpha "),
    broken("stop_reason: model_error", text("alpha ") + ended("model_error"), ProviderCut, "model_error", text="alpha "),
    broken("Bedrock's exception", text("alpha ") + ev({"throttlingException": {"message": "slow down"}}) + an("message_stop"), ProviderFailed, "slow down", text="alpha "),
    broken("an event that is named after an error", text("alpha ") + ev({"type": "stream_error", "message": "boom"}) + an("message_stop"), ProviderFailed, "boom", text="alpha "),
    broken("only a code", text("alpha ") + ev({"code": 529, "data": None}) + an("message_stop"), RateLimited, text="alpha "),
    broken("lines that are cut", b'{"type":"content_block_delta","delta":{"text":"alpha "}}\n', ProviderCut, text="alpha ", json=True),
    broken("an error without an error object", ev({"message": "no key"}, "error"), ProviderFailed, "no key"),
    broken("a relay's error", ev({"detail": "no credit left, see billing"}), ProviderFailed, "no credit left"),
    broken("a whole error with status 200", b'{"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}', ProviderDenied, "invalid x-api-key", json=True),
    broken("a broken event", text("alpha ") + ev('{"type": "content_block_delta", "delta": {"te'), ProviderCut, text="alpha "),
    broken("a web page", b"<html><h1>502 Bad Gateway</h1></html>", ProviderFailed, "502 Bad Gateway"),
    broken("an empty body", b"", ProviderCut),
]  # fmt: skip


def corpus() -> Iterator[Variant]:
    yield from OPENAI
    yield from ANTHROPIC
