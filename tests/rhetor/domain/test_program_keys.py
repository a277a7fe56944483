"""The keys of programs: valid until their program ends, and masked."""

from __future__ import annotations

from rhetor.domain.program_keys import KEY, ProgramKeys
from rhetor.domain.secrets import MaskedText, Secrets


def test_a_key_has_256_bits_and_is_valid_until_its_program_ends() -> None:
    keys = ProgramKeys(place={"RHETOR_URL": "http://127.0.0.1:8300"})
    first, second = keys.issue("box"), keys.issue("box")
    assert first.variables == {"RHETOR_URL": "http://127.0.0.1:8300", KEY: first.variables[KEY]}
    assert first.variables[KEY] != second.variables[KEY]
    assert len(first.variables[KEY]) == len("rk_") + 43  # base64url of 32 bytes
    assert keys.find(first.variables[KEY]) == ("box", first.digest)
    keys.end(first.digest)
    assert (keys.find(first.variables[KEY]), keys.holds(first.digest)) == (None, False)
    assert keys.find(second.variables[KEY]) == ("box", second.digest)


def test_other_tokens_are_no_keys() -> None:
    keys = ProgramKeys()
    issued = keys.issue("box")
    for other in (
        "",
        "rk_",
        "x" * 64,
        issued.digest,
        issued.variables[KEY] + "x",
        issued.variables[KEY][:-1],
        "rk_\udcff",
    ):
        assert keys.find(other) is None


def test_a_key_is_a_secret_until_its_program_ends() -> None:
    secrets = Secrets(["another secret of mine"])
    keys = ProgramKeys(secrets)
    key = keys.issue("box")
    assert secrets.mask(f"it is {key.variables[KEY]}") == "it is [masked]"
    keys.end(key.digest)
    assert secrets.texts == ("another secret of mine",)


def test_a_key_of_an_earlier_hub_becomes_a_secret_when_it_is_used() -> None:
    issued = ProgramKeys().issue("box")
    secrets = Secrets()
    keys = ProgramKeys(secrets)
    keys.put(issued.digest, "box")
    assert secrets.mask(issued.variables[KEY]) != "[masked]"
    assert keys.find(issued.variables[KEY]) == ("box", issued.digest)
    assert secrets.mask(issued.variables[KEY]) == "[masked]"
    keys.end(issued.digest)
    assert secrets.mask(issued.variables[KEY]) != "[masked]"


def test_only_the_beginning_of_a_key_that_gives_nothing_away_is_passed_on_at_once() -> None:
    secrets = Secrets()
    key = ProgramKeys(secrets).issue("box").variables[KEY]
    text = f"for {key} or"
    for first in range(1, len(text)):
        for second in range(first, len(text)):
            masked = MaskedText(secrets)
            pieces = [masked.feed(piece) for piece in (text[:first], text[first:second], text[second:])]
            assert (
                "".join(pieces).replace("rk_[", "[").replace("rk[", "[").replace("r[", "[")
                == "for [masked] or"
            )
    assert MaskedText(secrets).feed("so far") == "so far"
    assert MaskedText(secrets).feed("work rk") == "work rk"
    assert MaskedText(secrets).feed(key[:4]) == ""
