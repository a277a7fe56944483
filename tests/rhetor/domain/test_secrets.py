"""Known secrets are masked in text, in bytes, and across chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.domain.secrets import (
    LEAST,
    MASK,
    MaskedText,
    Secrets,
    masked_arguments,
    masked_url,
    secret_values,
    secrets_of,
)

KEY = 'sk-"CANARY"\\1234567890'
SECRETS = Secrets([KEY, "sk-other-99"])
TEXT = f"your key is {KEY}, or sk-, or sk-other-99."


def test_a_secret_is_masked_in_any_chunking() -> None:
    expected = f"your key is {MASK}, or sk-, or {MASK}."
    assert SECRETS.mask(TEXT) == expected
    for cut in range(len(TEXT) + 1):
        masked = MaskedText(SECRETS)
        assert masked.feed(TEXT[:cut]) + masked.feed(TEXT[cut:]) + masked.finish() == expected
    one_by_one = MaskedText(SECRETS)
    assert "".join(map(one_by_one.feed, TEXT)) + one_by_one.finish() == expected


def test_only_a_possible_beginning_of_a_secret_is_held_back() -> None:
    masked = MaskedText(SECRETS)
    assert [masked.feed("a s"), masked.feed("k"), masked.feed("!"), masked.finish()] == ["a ", "", "sk!", ""]


@given(st.lists(st.sampled_from([*KEY[:4], KEY[:5], KEY[5:], KEY, "x", "sk-other", "-99"]), max_size=12))
def test_chunks_give_the_same_text_as_the_whole(pieces: list[str]) -> None:
    masked = MaskedText(SECRETS)
    said = "".join(map(masked.feed, pieces)) + masked.finish()
    assert KEY not in said and "sk-other-99" not in said
    assert said == SECRETS.mask("".join(pieces))


def test_a_secret_is_masked_in_json() -> None:
    import json

    assert json.loads(SECRETS.mask_json(json.dumps({"text": TEXT}).encode())) == {"text": SECRETS.mask(TEXT)}


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("OPENAI_API_KEY", "sk-12345678", True),
        ("ANTHROPIC_AUTH_TOKEN", "0123456789abcdef", True),
        ("AWS_SECRET_ACCESS_KEY", "Ab1/2345", True),
        ("DB_PASSWORD", "hunter22", True),
        ("DB_PASSWORD", "password", False),
        ("API_KEY", "short1", False),
        ("SSH_KEY", "/home/me/.ssh/id_ed25519", False),
        ("KEYBOARD", "sk-12345678", False),
        ("PATH", "sk-12345678", False),
    ],
)
def test_a_variable_is_secret_by_its_name_and_value(name: str, value: str, is_secret: bool) -> None:
    assert secret_values({name: value}) == ([value] if is_secret else [])


@pytest.mark.parametrize("rest", [[KEY[9:]], list(KEY[9:]), [KEY[9:12], KEY[12:] + " end"]])
def test_a_secret_whose_rest_arrives_late_is_masked_once(rest: list[str]) -> None:
    masked = MaskedText(SECRETS)
    said = masked.feed(f"key: {KEY[:9]}") + masked.settle() + "".join(map(masked.feed, rest))
    assert said + masked.finish() == f"key: {MASK}" + (" end" if rest[-1].endswith("end") else "")


def test_a_short_text_that_could_begin_a_secret_is_returned_when_nothing_follows() -> None:
    masked = MaskedText(SECRETS)
    assert (masked.feed("a sk-"), masked.settle(), masked.feed("orange")) == ("a ", "sk-", "orange")
    assert (masked.feed("sk-o"), masked.settle(), masked.feed("ther-99")) == ("", "sk-o", MASK)
    assert masked.feed(KEY[:9]) + masked.settle() + masked.feed("!") == f"{MASK}!"


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_secret_whose_pieces_arrive_late_shows_at_most_its_beginning(size: int) -> None:
    masked, said = MaskedText(SECRETS), ""
    for at in range(0, len(TEXT), size):
        said += masked.feed(TEXT[at : at + size]) + masked.settle()
    assert KEY[:LEAST] not in said and KEY[-2:] not in said and "-99" not in said
    for gone in (KEY, "sk-other-99"):  # what is left of it is its beginning, before the mask
        assert gone[LEAST:] not in said
    assert said.startswith("your key is ") and said.endswith(f"{MASK}.")


@pytest.mark.parametrize(
    "pieces", [("sk-other", "***!"), ("a sk-o", "th", "er**", "*!"), ("sk-o", "*******!")]
)
def test_a_secret_whose_rest_a_host_has_replaced_is_masked(pieces: tuple[str, ...]) -> None:
    masked = MaskedText(SECRETS)
    said = "".join(map(masked.feed, pieces)) + masked.finish()
    assert said.removeprefix("a ") == f"{MASK}!"


def test_stars_that_replace_no_secret_are_kept() -> None:
    masked = MaskedText(SECRETS)
    text = "sk-o**, sk-other****, s*** and **bold**"
    assert masked.feed(text) + masked.finish() == text.replace("sk-other***", MASK)


def test_arguments_and_queries_with_secret_names_are_masked() -> None:
    argv = [
        "server",
        "--token",
        "sk-ant-abcdef",
        "--api-key=short",
        "-v",
        "--header",
        "Authorization: Bearer abcdef123",
        "MY_SECRET=",
        "TOKEN=abc=def123",
        "--tokens",
        "4096 or more",
        "--key-file=~/.ssh/id",
    ]
    assert masked_arguments(argv, "*") == [
        "server",
        "--token",
        "*",
        "--api-key=*",
        "-v",
        "--header",
        "Authorization: Bearer *",
        "MY_SECRET=*",
        "TOKEN=*",
        "--tokens",
        "4096 or more",
        "--key-file=*",
    ]
    url = "https://mcp.example/mcp?api-key=sesame-open-12&page=2&token=#top"
    assert masked_url(url, "*") == "https://mcp.example/mcp?api-key=*&page=2&token=#top"
    found = secrets_of({"API_KEY": "sesame-open-9"}, argv, url)
    assert found == ["sesame-open-9", "sk-ant-abcdef", "abcdef123", "abc=def123", "sesame-open-12"]
