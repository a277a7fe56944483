"""What models take besides text, and what happens in a turn with a model that does not take it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rhetor.codec.json_schema import check_schema
from rhetor.domain.peer import Peer, PeerKind
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models import anthropic_messages, openai_chat
from rhetor.drivers.models.inputs import KnownInputs, ModelInputs, Taken, by_name
from rhetor.drivers.models.listed_takes import listed_takes
from rhetor.drivers.models.parts import readable, require_taken
from rhetor.drivers.models.resolve import Models, ProviderEntry
from rhetor.drivers.models.target import Provider, Target
from rhetor.errors import InputUnsupported, ProviderUnreachable, UnknownModel, Unprocessable
from tests.pictures import MP3, PDF, PNG
from tests.rhetor.drivers.agents.test_parts import attached

ONE = Provider("one", "openai", "http://127.0.0.1:1/v1")
TWO = Provider("two", "anthropic", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-sonnet-5-5", "image json pdf"),
        ("anthropic/claude-opus-4-1", "image json pdf"),
        ("claude-sonnet-4-20250514", "image pdf"),
        ("claude-3-haiku-20240307", "image"),
        ("claude-2.1", ""),
        ("gpt-5.4-mini", "image json pdf"),
        ("openai/gpt-4o", "image json pdf"),
        ("o3-mini", "json"),
        ("o3", "image json pdf"),
        ("gpt-audio-mini", "audio"),
        ("gpt-4o-mini-transcribe", ""),
        ("gpt-image-2", ""),
        ("gpt-3.5-turbo", ""),
        ("gpt-4", ""),
        ("gemini-2.5-flash", "audio image json"),
        ("llava:7b", "image"),
        ("qwen3-vl:8b", "image"),
        ("qwen3:8b", ""),
        ("llama3.2", ""),
        ("nomic-embed-text", ""),
    ],
)
def test_the_names_of_well_known_models_show_what_they_take(model: str, takes: str) -> None:
    assert " ".join(sorted(by_name(model))) == takes


def test_providers_say_what_their_models_take() -> None:
    yes, no = {"supported": True}, {"supported": False}
    anthropic = {"image_input": yes, "pdf_input": no, "structured_outputs": yes}
    router = {"input_modalities": ["text", "image", "file", "audio"]}
    listed = {
        "data": [
            {"id": "a", "capabilities": anthropic},
            {"id": "b", "architecture": router, "supported_parameters": ["structured_outputs"]},
            {"id": "c", "architecture": {"input_modalities": ["text"]}},
            {"id": "d"},
            {"id": "e", "architecture": 3, "capabilities": []},
            7,
        ]
    }
    assert listed_takes(listed) == {
        "a": {"image", "json"},
        "b": {"image", "pdf", "audio", "json"},
        "c": frozenset(),
    }
    assert listed_takes(None) == listed_takes({"data": "x"}) == {}


class Listing:
    """A provider's list; it fails until `works` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.works = False

    async def __call__(self, provider: Provider) -> Mapping[str, Taken]:
        self.asked += 1
        if not self.works:
            raise ProviderUnreachable("no", hint="")
        return {"known": frozenset({"image"})}


@pytest.mark.anyio
async def test_the_configuration_comes_first_then_the_provider_then_the_name() -> None:
    listing = Listing()
    inputs = ModelInputs(listing, {"two/own": frozenset({"audio"})})
    assert await inputs.of(Target(TWO, "own")) == {"audio"}
    assert listing.asked == 0
    assert await inputs.of(Target(TWO, "claude-sonnet-5")) == {"image", "pdf", "json"}
    listing.works = True
    assert await inputs.of(Target(TWO, "known")) == {"image"}
    assert await inputs.of(Target(TWO, "other")) == frozenset()
    assert listing.asked == 2  # the list is kept
    inputs.forget()
    await inputs.of(Target(TWO, "known"))
    assert listing.asked == 3
    # a server with OpenAI's API does not say it; the usual local ones constrain any model's answers
    assert await inputs.of(Target(ONE, "gpt-5")) == {"image", "pdf", "json"}
    assert await inputs.of(Target(Provider("ollama", "openai", "http://127.0.0.1:1"), "x")) == {"json"}
    assert listing.asked == 3


@pytest.mark.anyio
async def test_a_peer_takes_what_its_model_takes() -> None:
    async def names(provider: Provider) -> list[str]:
        return []

    entries = {"one": ProviderEntry("openai", "http://127.0.0.1:1/v1")}
    models = Models({}, names, providers=entries, default="offline", servers=lambda environment: ())
    known = KnownInputs(models, ModelInputs(Listing()), {})

    async def of(model: str | None) -> tuple[str, str]:
        found = await known.of(Peer("apollo", PeerKind.SPECIALIST, "chat", model=model))
        return found.by, " ".join(sorted(found.takes or ()))

    assert await of("one/gpt-4o") == ("one/gpt-4o", "image json pdf")
    assert await of(None) == ("offline", "")
    with pytest.raises(UnknownModel):
        await of("nosuch/model")
    assert (await known.of(Peer("all", PeerKind.TEAM, "team"))).takes == frozenset()


@pytest.mark.anyio
async def test_a_schema_that_all_steps_of_a_plan_have_is_checked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[object] = []

    async def names(provider: Provider) -> list[str]:
        return []

    def check(schema: Mapping[str, object]) -> None:
        checked.append(schema["type"])
        check_schema(schema)

    monkeypatch.setattr("rhetor.drivers.models.inputs.check_schema", check)
    known = KnownInputs(Models({}, names, servers=lambda environment: ()), ModelInputs(Listing()), {})
    for kind in ("object", "object", "nothing", "nothing", "object", "array"):
        if kind == "nothing":
            with pytest.raises(Unprocessable):
                await known.check_schema({"type": kind})
        else:
            await known.check_schema({"type": kind})
    assert checked == ["object", "nothing", "nothing", "array"]


def test_a_history_mentions_what_a_model_does_not_take() -> None:
    past = [
        PastMessage("user", "look", (attached(PNG, "x.png"), attached(PDF, "y.pdf"))),
        PastMessage("assistant", "I see"),
    ]
    left, answer = readable(past, frozenset({"image"}))
    assert (left.content, [each.part.name for each in left.attachments]) == (
        "look\n\n[This message had y.pdf (application/pdf) with it.]",
        ["x.png"],
    )
    assert answer is past[1]


def test_a_model_that_does_not_take_a_part_is_not_called() -> None:
    prompt = Prompt("hi", attachments=(attached(MP3, "song.mp3"),))
    with pytest.raises(InputUnsupported, match=r"one/x does not take song.mp3 \(audio/mpeg\)") as refused:
        require_taken(prompt, frozenset({"image"}), "one/x", "use another")
    assert refused.value.data["takes"] == ["image"]
    require_taken(prompt, frozenset({"audio"}), "one/x", "")
    with pytest.raises(InputUnsupported, match="gives no JSON answers"):
        require_taken(Prompt("hi", schema={}), frozenset({"image"}), "one/x", "use another")


def test_a_message_without_parts_is_sent_as_before() -> None:
    history = [PastMessage("user", "a"), PastMessage("assistant", "b")]
    openai = openai_chat.request(Target(ONE, "m"), "be brief", history, Prompt("c")).body
    assert openai == (
        b'{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"a"},'
        b'{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"stream":true,'
        b'"stream_options":{"include_usage":true}}'
    )
    anthropic = anthropic_messages.request(Target(TWO, "m"), "be brief", history, Prompt("c")).body
    assert anthropic == (
        b'{"model":"m","max_tokens":16384,"messages":[{"role":"user","content":"a"},'
        b'{"role":"assistant","content":"b"},{"role":"user","content":"c"}],"stream":true,'
        b'"system":"be brief"}'
    )
