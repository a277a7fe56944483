"""Which model answers: the configuration, then keys, then this machine, then the offline model."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.drivers.models import local_models
from rhetor.drivers.models.clients import Clients
from rhetor.drivers.models.local_models import LOCAL_SERVERS, LocalServer, local_servers, search
from rhetor.drivers.models.resolve import Models, ProviderEntry
from rhetor.drivers.models.target import AgentTarget, Provider, Target
from rhetor.drivers.models.urls import Reach
from rhetor.errors import ModelUnknown, ProviderDenied, ProviderFailed, ProviderUnreachable
from tests.provider import ProviderServer

pytestmark = pytest.mark.anyio
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Catalog:
    """Stands in for the providers' lists of models, and counts how often they are read."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.asked: list[str] = []

    async def __call__(self, provider: Provider) -> Sequence[str]:
        self.asked.append(provider.name)
        await asyncio.sleep(0)
        return self.names


def nowhere(environment: Mapping[str, str]) -> Sequence[LocalServer]:
    return ()


def models(environment: Mapping[str, str], catalog: Any = None, **more: Any) -> Models:
    """A resolver that searches no local model servers unless the test passes some."""
    return Models(environment, catalog or Catalog(), **({"servers": nowhere} | more))


async def ref(environment: Mapping[str, str], **more: Any) -> str | None:
    """The model that `auto` resolves to."""
    target = await models(environment, **more).resolve("auto")
    return target.ref if target else None


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"OPENAI_API_KEY": ""}, None),
        ({"OPENAI_API_KEY": "k"}, "openai/gpt-5.4-mini"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic/claude-sonnet-5-5"),
        ({"ANTHROPIC_AUTH_TOKEN": "k"}, "anthropic/claude-sonnet-5-5"),
        ({"OPENROUTER_API_KEY": "k"}, "openrouter/openrouter/auto"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "anthropic/claude-sonnet-5-5"),
        ({"OPENROUTER_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "openrouter/openrouter/auto"),
        ({"OPENAI_API_KEY": "k", "RHETOR_MODEL": "gpt-x"}, "openai/gpt-x"),
        ({"RHETOR_MODEL": "gpt-x"}, None),
    ],
)
async def test_auto_is_the_first_provider_with_a_key(environment: dict[str, str], found: str | None) -> None:
    assert await ref(environment) == found


async def test_a_provider_at_its_default_url_is_called_with_its_key() -> None:
    assert await models({"ANTHROPIC_API_KEY": "k"}).resolve(None) == Target(
        Provider("anthropic", "anthropic", "https://api.anthropic.com", "k", "ANTHROPIC_API_KEY"),
        "claude-sonnet-5-5",
    )


async def test_the_repr_of_a_provider_hides_its_key() -> None:
    assert "secret" not in repr(await models({"OPENAI_API_KEY": "secret"}).resolve("auto"))


HERE = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}


async def test_with_another_base_url_the_first_listed_chat_model_is_selected() -> None:
    catalog = Catalog("nomic-embed-text", "llama", "qwen")
    assert await ref(HERE | {"OPENAI_API_KEY": "k"}, catalog=catalog) == "openai/llama"
    assert await ref(HERE | {"OPENAI_API_KEY": "k", "RHETOR_MODEL": "m"}, catalog=catalog) == "openai/m"
    assert catalog.asked == ["openai"]


async def test_with_another_base_url_without_a_list_the_usual_model_name_is_used() -> None:
    assert await ref(HERE | {"OPENAI_API_KEY": "k"}) == "openai/gpt-5.4-mini"


async def test_a_loopback_base_url_needs_no_key() -> None:
    assert await models(HERE, Catalog("llama")).resolve("auto") == Target(
        Provider("openai", "openai", "http://127.0.0.1:9/v1", reach=Reach(loopback=True)), "llama"
    )


async def test_a_remote_base_url_without_a_key_is_not_selected() -> None:
    assert await ref({"OPENAI_BASE_URL": "https://8.8.8.8/v1"}) is None


async def test_a_private_base_url_needs_an_entry_that_allows_it() -> None:
    inside = "http://10.0.0.1/v1"
    with pytest.raises(ModelUnknown) as refused:
        await ref({"OPENAI_BASE_URL": inside, "OPENAI_API_KEY": "k"})
    assert refused.value.data["hint"].endswith("providers.openai.allow_private: true")
    entry = ProviderEntry("openai", inside, "INSIDE_KEY", allow_private=True)
    found = await models({"INSIDE_KEY": "k"}, Catalog("llama"), providers={"inside": entry}).resolve("auto")
    assert found == Target(
        Provider("inside", "openai", inside, "k", "INSIDE_KEY", Reach(loopback=True, private=True)), "llama"
    )


async def test_a_configured_provider_with_a_key_takes_precedence_over_built_in_ones() -> None:
    entries = {"work": ProviderEntry("anthropic", api_key_env="WORK_KEY"), "idle": ProviderEntry("openai")}
    environment = {"WORK_KEY": "w", "OPENROUTER_API_KEY": "k"}
    assert await ref(environment, providers=entries) == "work/claude-sonnet-5-5"


async def test_a_provider_at_another_url_gets_only_the_key_configured_for_it() -> None:
    entries = {"other": ProviderEntry("openai", "https://8.8.8.8/v1")}
    target = await models({"OPENAI_API_KEY": "k"}, providers=entries).resolve("other/m")
    assert target == Target(
        Provider("other", "openai", "https://8.8.8.8/v1", reach=Reach(loopback=True)), "m"
    )


@pytest.mark.parametrize(
    ("default", "found"), [("openai/gpt-x", "openai/gpt-x"), ("offline", None), ("auto", "anthropic/m")]
)
async def test_the_configured_default_takes_precedence(default: str, found: str | None) -> None:
    environment = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "RHETOR_MODEL": "m"}
    assert await ref(environment, default=default) == found


@pytest.mark.parametrize(
    ("wanted", "url", "model"),
    [
        ("openai/gpt-x", "https://api.openai.com/v1", "gpt-x"),
        ("openrouter/meta/llama", "https://openrouter.ai/api/v1", "meta/llama"),
        ("ollama/llama3.2", "http://127.0.0.1:11434/v1", "llama3.2"),
        ("lmstudio/m", "http://127.0.0.1:1234/v1", "m"),
        ("llamacpp/m", "http://127.0.0.1:8080/v1", "m"),
        ("vllm/m", "http://127.0.0.1:8000/v1", "m"),
    ],
)
async def test_a_model_can_be_selected_by_name(wanted: str, url: str, model: str) -> None:
    environment = {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "k", "RHETOR_MODEL": "not this one"}
    target = await models(environment, servers=local_servers).resolve(wanted)
    assert isinstance(target, Target)
    assert (target.provider.base_url, target.model, target.ref) == (url, model, wanted)


@pytest.mark.parametrize("wanted", ["gpt-x", "/m", "openai/", "nobody/m"])
async def test_an_invalid_model_name_is_rejected(wanted: str) -> None:
    with pytest.raises(ModelUnknown) as unknown:
        await models({"OPENAI_API_KEY": "k"}, servers=local_servers).resolve(wanted)
    assert set(unknown.value.data) == {"provider", "model", "status", "hint"}


async def test_a_provider_without_its_key_names_the_variable_to_set() -> None:
    with pytest.raises(ProviderDenied) as denied:
        await models({}).resolve("anthropic/m")
    assert denied.value.data == {
        "provider": "anthropic",
        "model": "m",
        "status": None,
        "hint": "set ANTHROPIC_API_KEY, or run: aish keys set anthropic",
    }


async def test_the_resolved_model_is_cached_until_the_environment_changes() -> None:
    catalog = Catalog("llama")
    resolver = models(HERE, catalog)
    found = await asyncio.gather(*(resolver.resolve("auto") for _ in range(5)))
    assert [target.ref for target in found if target] == ["openai/llama"] * 5
    assert catalog.asked == ["openai"]
    resolver.reset({"ANTHROPIC_API_KEY": "k"})
    target = await resolver.resolve("auto")
    assert target is not None
    assert target.ref == "anthropic/claude-sonnet-5-5"
    resolver.reset({}, default="offline", providers={})
    assert await resolver.resolve("auto") is None


async def test_a_failed_resolution_is_not_cached() -> None:
    class Down(Catalog):
        async def __call__(self, provider: Provider) -> Sequence[str]:
            if not self.asked:
                self.asked.append(provider.name)
                raise ProviderUnreachable("down", retryable=True)
            return self.names

    resolver = models(HERE, Down("llama"))
    with pytest.raises(ProviderUnreachable):
        await resolver.resolve("auto")
    target = await resolver.resolve("auto")
    assert target is not None
    assert target.model == "llama"


async def test_without_a_key_a_local_model_server_is_found() -> None:
    async with ProviderServer(models=("bert-embed", "llama3.2:latest", "qwen"), key="") as server:
        found = [LocalServer("ollama", f"{server.url}/v1")]
        assert await ref({}, servers=lambda environment: found) == "ollama/llama3.2:latest"
        assert await ref({"RHETOR_MODEL": "qwen"}, servers=lambda environment: found) == "ollama/qwen"
        assert await ref({"RHETOR_MODEL": "llama3.2"}, servers=lambda environment: found) == "ollama/llama3.2"
        assert [call.path for call in server.calls] == ["/v1/models"] * 3
        with pytest.raises(ModelUnknown) as failure:
            await ref({"RHETOR_MODEL": "llama3.1"}, servers=lambda environment: found)
    assert failure.value.detail == "no model 'llama3.1' (RHETOR_MODEL) at ollama on this machine"
    assert failure.value.data["hint"] == "did you mean llama3.2:latest?"


async def test_the_model_of_the_variable_is_found_on_any_server_of_this_machine() -> None:
    async with (
        ProviderServer(models=("qwen",), key="") as one,
        ProviderServer(models=("phi",), key="") as two,
    ):
        found = [LocalServer("ollama", f"{one.url}/v1"), LocalServer("vllm", f"{two.url}/v1")]
        assert await ref({"RHETOR_MODEL": "phi"}, servers=lambda environment: found) == "vllm/phi"


async def test_the_search_keeps_its_order_and_skips_other_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_models, "_PROBE_TIMEOUT", 1.0)  # a busy machine answers later

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n<h1>a site under development</h1>")
        writer.close()

    async def other_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.0 200 OK\r\n\r\n{"data": [{"id": "a row of something else"}]}')
        writer.close()

    hanging = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hanging.wait()
        writer.close()

    handlers: set[asyncio.Task[None]] = set()

    def tracked(handle: Handle) -> Handle:
        async def tracked_handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.add(task)
            with contextlib.suppress(asyncio.IncompleteReadError):  # the search has ended first
                await handle(reader, writer)

        return tracked_handle

    async with (
        await asyncio.start_server(tracked(answer), "127.0.0.1", 0) as site,
        await asyncio.start_server(tracked(hang), "127.0.0.1", 0) as silent,
        await asyncio.start_server(tracked(other_list), "127.0.0.1", 0) as other,
        ProviderServer(models=()) as empty,
        ProviderServer(models=("a",), key="") as first,
        ProviderServer(models=("b",), key="") as second,
        ProviderServer(models=("c",), key="asked for") as locked,
    ):
        urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in (site, silent, other)]
        urls += [server.url for server in (empty, locked, first, second)]
        urls += ["http://127.0.0.1:1", "http://8.8.8.8"]
        servers = [LocalServer(str(number), f"{url}/v1") for number, url in enumerate(urls)]
        assert await search(servers) == [(servers[5], ["a"]), (servers[6], ["b"])]
        hanging.set()
        await asyncio.wait(handlers)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:11500", "http://127.0.0.1:11500/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000/v1"),
        (":9000", "http://127.0.0.1:9000/v1"),
        ("localhost", "http://localhost:11434/v1"),
        ("http://box.example", "http://box.example:80/v1"),
        ("https://box.example", "https://box.example:443/v1"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/v1"),
        ("[::1]:9000", "http://[::1]:9000/v1"),
        ("::1", "http://[::1]:11434/v1"),
        ("[::1", "http://[::1]:11434/v1"),
        ("[::]", "http://[::1]:11434/v1"),
        ("127.0.0.1:http", "http://127.0.0.1:11434/v1"),
        ("127.0.0.1:99999", "http://127.0.0.1:11434/v1"),
        ("127.0.0.1:", "http://127.0.0.1:11434/v1"),
        ('"127.0.0.1:9000"', "http://127.0.0.1:9000/v1"),
        ("HTTP://box.example/ollama", "http://box.example:80/ollama/v1"),
        ("", "http://127.0.0.1:11434/v1"),
    ],
)
def test_ollama_host_is_parsed_like_ollama_does(host: str, url: str) -> None:
    servers = local_servers({"OLLAMA_HOST": host})
    assert servers == (LocalServer("ollama", url), *LOCAL_SERVERS[1:])


@pytest.mark.parametrize(
    "host", ["a b", "unix:///run/ollama.sock", "tcp://127.0.0.1:1", "\x00", "a\nb", "a,b"]
)
async def test_an_invalid_ollama_host_means_the_default_address(host: str) -> None:
    assert local_servers({"OLLAMA_HOST": host}) == LOCAL_SERVERS


@given(st.text())
def test_any_text_is_accepted_as_ollama_host(host: str) -> None:
    ollama, *_ = local_servers({"OLLAMA_HOST": host})
    parts = urlsplit(ollama.url)
    assert (parts.scheme in ("http", "https"), parts.port is not None) == (True, True)


async def test_a_configured_loopback_provider_needs_no_allow_private() -> None:
    async with ProviderServer(models=("llama",)) as server:
        entries = {"mine": ProviderEntry("openai", f"{server.url}/v1", "MINE_KEY")}
        target = await models({"MINE_KEY": "k"}, providers=entries).resolve("mine/llama")
    assert isinstance(target, Target)
    with pytest.raises(ModelUnknown) as refused:
        entries = {"mine": ProviderEntry("openai", "http://10.0.0.1/v1", "MINE_KEY")}
        await models({"MINE_KEY": "k"}, providers=entries).resolve("mine/llama")
    assert refused.value.data["hint"] == "for a private network, set providers.mine.allow_private: true"


async def test_models_are_listed_for_both_kinds_of_provider() -> None:
    clients = Clients()
    async with ProviderServer(models=("a", "b")) as server:
        here = Reach(loopback=True)
        for provider in (
            Provider("o", "openai", f"{server.url}/v1", "k", reach=here),
            Provider("a", "anthropic", server.url, "k", reach=here),
        ):
            assert await clients.list_models(provider) == ["a", "b"]
        assert await clients.list_models(Provider("x", "openai", f"{server.url}/none", "k", reach=here)) == []
        with pytest.raises(ProviderFailed):
            await clients.list_models(Provider("x", "openai", "http://127.0.0.1:1/v1", "k", reach=here))
        with pytest.raises(ProviderDenied):
            await clients.list_models(Provider("x", "openai", f"{server.url}/v1", reach=here))
    await clients.aclose()


KEPT = {"openai": "kept-key", "box": "kept-box"}


async def kept() -> Mapping[str, str]:
    return KEPT


async def key_of(environment: Mapping[str, str], reference: str, **entries: ProviderEntry) -> tuple[str, str]:
    """Return the key that is sent for a model, and where."""
    found = await models(environment, kept=kept, providers=entries).resolve(reference)
    assert isinstance(found, Target)
    return found.provider.key, found.provider.base_url


async def test_a_stored_key_is_used_if_no_variable_has_one() -> None:
    assert await ref({}, kept=kept) == "openai/gpt-5.4-mini"
    assert await key_of({}, "openai/x") == ("kept-key", "https://api.openai.com/v1")
    assert (await key_of({"OPENAI_API_KEY": "own"}, "openai/x"))[0] == "own"
    here = ProviderEntry("openai", "http://127.0.0.1:9/v1")
    assert await key_of({}, "box/x", box=here) == ("kept-box", "http://127.0.0.1:9/v1")
    named = ProviderEntry("openai", "http://127.0.0.1:9/v1", "BOX_KEY")
    assert (await key_of({}, "box/x", box=named))[0] == "kept-box"
    assert (await key_of({"BOX_KEY": "own"}, "box/x", box=named))[0] == "own"


async def test_a_stored_key_is_not_sent_to_a_host_that_a_variable_names() -> None:
    elsewhere = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    assert await key_of(elsewhere, "openai/x") == ("", "http://127.0.0.1:9/v1")
    assert await key_of({**elsewhere, "OPENAI_API_KEY": "own"}, "openai/x") == (
        "own",
        "http://127.0.0.1:9/v1",
    )
    with pytest.raises(ProviderDenied) as failed:
        await key_of({"OPENAI_BASE_URL": "https://proxy.example/v1"}, "openai/x")
    hint = "set OPENAI_API_KEY, or providers.openai.base_url to send the stored key there"
    assert failed.value.data["hint"] == hint


def test_the_variables_that_have_keys_are_known_without_the_keys() -> None:
    entries = {
        "box": ProviderEntry("openai", "http://127.0.0.1:9/v1", "BOX_KEY"),
        "open": ProviderEntry("openai", "http://127.0.0.1:9/v1"),
        "claude": ProviderEntry("anthropic"),
    }
    environment = {"BOX_KEY": "k", "ANTHROPIC_AUTH_TOKEN": "k", "OPENAI_API_KEY": " "}
    assert models(environment, providers=entries).key_variables() == {
        "box": "BOX_KEY",
        "open": "",
        "claude": "ANTHROPIC_AUTH_TOKEN",
        "openrouter": "",
        "anthropic": "ANTHROPIC_AUTH_TOKEN",
        "openai": "",
    }


class Small:
    """Stands in for the models that the hub runs itself."""

    def __init__(self, *names: str, use: str | None = "smollm2") -> None:
        self._names = names
        self._use = use

    def names(self) -> Sequence[str]:
        return self._names

    def ready(self) -> str | None:
        return self._use if self._use in self._names else None

    def require(self, name: str) -> None:
        if name not in self._names:
            raise ModelUnknown(
                f"no {name}", provider="local", model=name, status=None, hint="aish models pull"
            )

    async def client(self, name: str) -> Any:
        raise AssertionError("resolving starts no process")


class LoggedIn:
    """An agent that `auto` may use."""

    def named(self, ref: str) -> AgentTarget:
        raise AssertionError

    def ready(self) -> AgentTarget | None:
        return AgentTarget("claude", "claude-code")


async def test_auto_takes_the_small_model_after_everything_else_but_the_offline_text() -> None:
    small = Small("smollm2")
    assert await ref({}, small=small) == "local/smollm2"
    assert await ref({}, small=small, agents=LoggedIn()) == "cli:claude"
    assert await ref({"OPENAI_API_KEY": "k"}, small=small) == "openai/gpt-5.4-mini"
    async with ProviderServer(models=("llama3.2",), key="") as server:
        ollama = (LocalServer("ollama", f"{server.url}/v1"),)
        assert await ref({}, small=small, servers=lambda _: ollama) == "ollama/llama3.2"
    assert await ref({}, small=Small("other")) is None
    assert await ref({}, small=Small("smollm2", use=None)) is None
    assert await ref({}, small=small, default="offline") is None


async def test_a_better_model_replaces_the_small_one_after_a_while() -> None:
    now = 0.0
    found: list[LocalServer] = []
    async with ProviderServer(models=("llama3.2",), key="") as server:
        made = models({}, small=Small("smollm2"), servers=lambda _: tuple(found), clock=lambda: now)
        first = await made.resolve("auto")
        found.append(LocalServer("ollama", f"{server.url}/v1"))
        assert await made.resolve("auto") == first
        now = 11.0
        target = await made.resolve("auto")
    assert isinstance(target, Target)
    assert target.ref == "ollama/llama3.2"


async def test_a_small_model_can_be_named_unless_a_configured_provider_has_its_name() -> None:
    small = Small("smollm2")
    target = await models({}, small=small).resolve("local/smollm2")
    assert isinstance(target, Target)
    assert (target.ref, target.provider.local, target.provider.key) == ("local/smollm2", "smollm2", "")
    assert models({}, small=small).small() == [target]
    with pytest.raises(ModelUnknown, match="no qwen"):
        await models({}, small=small).resolve("local/qwen")
    own = {"local": ProviderEntry("openai", "http://127.0.0.1:9/v1")}
    configured = models({}, small=small, providers=own)
    target = await configured.resolve("local/smollm2")
    assert isinstance(target, Target)
    assert (target.provider.local, target.provider.base_url) == ("", "http://127.0.0.1:9/v1")
    assert configured.small() == []
