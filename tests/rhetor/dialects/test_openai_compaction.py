"""What a compaction asks of a model, and of an agent."""

from __future__ import annotations

import json

import pytest

from rhetor.dialects.openai_compaction import (
    BEGIN,
    END,
    READ,
    compaction_asked,
    compaction_request,
    read,
    written,
)

INPUT = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"type": "reasoning", "summary": [{"text": "hm"}]},
]


@pytest.mark.parametrize(("at_once", "earlier"), [(False, 4), (True, 0)])
def test_a_model_gets_earlier_messages_and_an_agent_gets_one_new_message(at_once: bool, earlier: int) -> None:
    request = compaction_request(json.dumps({"model": "a", "input": INPUT}).encode())
    asked = compaction_asked(request, at_once=at_once)
    texts = [message.text for message in asked.given.messages]
    retold = [BEGIN, "[user]\none", "[assistant]\ntwo"]
    assert texts == [*retold, *([] if at_once else [READ]), END]
    assert len(asked.given.earlier) == earlier
    assert [message.text for message in asked.kept] == ["one"]
    assert asked.session_of("s_1") is None


def test_sealed_content_is_written_as_text_that_is_read_strictly() -> None:
    sealed = bytes(range(251, 256)) * 3
    assert read(written(sealed)) == sealed
    for wrong in ("a", "*" * 8, "é"):
        with pytest.raises(ValueError, match=r"base64|padding|ASCII|ascii"):
            read(wrong)
