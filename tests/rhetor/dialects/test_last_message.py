"""What the last message of a request must be, in the APIs of all vendors, and what the errors say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rhetor.dialects import anthropic_messages, openai_chat, openai_responses
from rhetor.errors import Unprocessable

ASSISTANT: Any = {"role": "assistant", "content": "hi"}
SYSTEM: Any = {"role": "system", "content": "Be brief."}
EMPTY = "the last message is empty; write something"


def chat(messages: list[Any]) -> object:
    return openai_chat.asked(json.dumps({"model": "apollo", "messages": messages}).encode())


def messages(messages: list[Any]) -> object:
    body = {"model": "apollo", "max_tokens": 9, "messages": messages}
    return anthropic_messages.asked(json.dumps(body).encode())


def responses(messages: list[Any]) -> object:
    request = openai_responses.request_of(json.dumps({"model": "apollo", "input": messages}).encode())
    return openai_responses.asked(request)


APIS = pytest.mark.parametrize("api", [chat, messages, responses])


def refusal(api: Callable[[list[Any]], object], given: list[Any]) -> str:
    with pytest.raises(Unprocessable) as caught:
        api(given)
    assert caught.value.data["param"] == ("input" if api is responses else "messages")
    return caught.value.detail.partition(": ")[2]


@APIS
@pytest.mark.parametrize("content", ["", " \n", []])
def test_an_empty_message_of_the_user_is_called_empty(
    api: Callable[[list[Any]], object], content: object
) -> None:
    empty = {"role": "user", "content": content}
    assert refusal(api, [empty]) == EMPTY
    assert refusal(api, [{"role": "user", "content": "hi"}, ASSISTANT, empty, SYSTEM]) == EMPTY


@pytest.mark.parametrize(
    ("api", "said"),
    [
        (chat, "the last message must be the user's, or the result of a tool"),
        (messages, "the last message must be the user's"),
        (responses, "the last item must be the user's message, or the output of a tool"),
    ],
)
def test_a_conversation_without_a_message_of_the_user_is_rejected(
    api: Callable[[list[Any]], object], said: str
) -> None:
    assert refusal(api, [SYSTEM]) == said
    prefill = "; you cannot prefill the answer" if api is messages else ""
    assert refusal(api, [{"role": "user", "content": "hi"}, ASSISTANT]) == said + prefill


@pytest.mark.parametrize("decode", [openai_chat.asked, anthropic_messages.asked, openai_responses.request_of])
def test_a_body_that_is_no_object_is_rejected(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(Unprocessable) as caught:
        decode(b"[1]")
    assert caught.value.detail == "the body must be a JSON object: Expected `object`, got `array`"
