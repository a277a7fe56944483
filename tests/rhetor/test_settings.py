"""Reading the settings, and the peers that they define."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from rhetor.domain.budget import Budget
from rhetor.domain.peer import Peer
from rhetor.domain.permission import Rules
from rhetor.errors import InvalidSettings
from rhetor.settings import (
    HubSettings,
    ProviderSettings,
    Settings,
    SpecialistSettings,
    budgets_of,
    differing,
    origins,
    peers_of,
    read_settings,
)
from rhetor.settings.sections import ModelSettings


def peers(folder: Path, text: str) -> dict[str, Peer]:
    file = folder / "config.yaml"
    file.write_text(text)
    return {peer.name: peer for peer in peers_of(read_settings(file))}


def test_without_rules_nothing_is_allowed(tmp_path: Path) -> None:
    assert {peer.permissions for peer in peers(tmp_path, "").values()} == {Rules()}


def test_a_peer_has_its_own_rules_and_the_rules_for_all_peers(tmp_path: Path) -> None:
    found = peers(
        tmp_path,
        "permissions: {deny: [WebFetch], allow: [Read]}\n"
        "tools:\n  claude-code: {args: [--verbose], permissions: {allow: [Edit], ask: ['mcp__*']}}\n"
        "specialists:\n  apollo: {permissions: {allow: [files__read]}}\n",
    )
    assert found["claude-code"].permissions == Rules(("Edit", "Read"), ("mcp__*",), ("WebFetch",))
    assert found["apollo"].permissions == Rules(("files__read", "Read"), (), ("WebFetch",))
    assert found["codex"].permissions == Rules(("Read",), (), ("WebFetch",))


@pytest.mark.parametrize(
    "rule", ["Bash(git status)", "Bash(*)", "*Bash", "a*b", "", "two words", "**", "x" * 201]
)
def test_a_rule_that_is_not_a_name_or_a_prefix_is_rejected(tmp_path: Path, rule: str) -> None:
    with pytest.raises(InvalidSettings, match=r"line 1: permissions\.allow.*must be the name of a tool"):
        peers(tmp_path, f"permissions: {{allow: ['{rule}']}}\n")


def test_a_coding_agent_can_be_used_for_every_model_setting(tmp_path: Path) -> None:
    text = "models: {default: 'cli:codex', fallbacks: ['cli:claude', 'cli:claude/opus']}"
    found = peers(tmp_path, f"{text}\nspecialists: {{athena: {{model: 'cli:gemini'}}}}\n")
    assert (found["apollo"].model, found["athena"].model) == ("cli:codex", "cli:gemini")
    with pytest.raises(InvalidSettings, match=r"models\.fallbacks\.0"):
        peers(tmp_path, "models: {fallbacks: [claude]}\n")


def test_an_unknown_provider_is_rejected_with_its_place_and_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "providers: {box: {base_url: 'http://127.0.0.1:1/v1'}}\nspecialists:\n  metis: {model: bx/m}\n"
    with pytest.raises(InvalidSettings) as rejected:
        peers(tmp_path, text)
    place = f"{tmp_path / 'config.yaml'}: line 3: specialists.metis.model"
    assert rejected.value.detail == f"{place}: there is no provider called 'bx'; did you mean box/m?"
    monkeypatch.setenv("RHETOR_MODELS__DEFAULT", "bx/m")
    with pytest.raises(InvalidSettings, match=r"^RHETOR_MODELS__DEFAULT: models\.default: there is no provi"):
        peers(tmp_path, "")


@pytest.mark.parametrize(
    "ref", ["ollama/m", "openai/gpt", "openrouter/a/b", "cli:claude/opus", "offline", "auto"]
)
def test_a_model_of_a_known_provider_or_agent_is_accepted(tmp_path: Path, ref: str) -> None:
    assert peers(tmp_path, f"models: {{default: '{ref}'}}")["apollo"].model == ref


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hub: {port: 1}\nsession: {ttl: 5}\nhub: {port: 2}\n", "line 3: hub is already set in line 1"),
        ("hub:\n  port: 1\n  port: 2\n", "line 3: port is already set in line 2"),
        ("teams:\n  a: [apollo]\n  b:\n  - {x: 1,\n     x: 2}\n", "line 5: x is already set in line 4"),
    ],
)
def test_a_duplicate_key_is_rejected(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        peers(tmp_path, text)
    assert refused.value.detail == f"{tmp_path / 'config.yaml'}: {why}"


@pytest.mark.parametrize("text", ["hub: {port: 1, port: 2}", "hub: &a {b: *a}"])
def test_a_duplicate_key_in_one_line_or_a_recursive_alias_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSettings):
        peers(tmp_path, text)


def test_a_variable_is_laid_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("hub: {port: 1, idle_exit: 5}\nmodels: {agents: [codex]}\nteams: {sky: [numa]}\n")
    for name, value in {
        "RHETOR_HUB": '{"port": 2, "allowed_hosts": ["a.test"]}',
        "RHETOR_HUB__PORT": "3",
        "rhetor_models__agents": "[]",
        "RHETOR_TEAMS__SEA": '["apollo"]',
        "RHETOR_SPECIALISTS__APOLLO__ROLE": "5",
        "RHETOR_SPECIALISTS__ATHENA": "null",
        "RHETOR_PROVIDERS__BOX__ALLOW_PRIVATE": "true",
        "RHETOR_HOME": "/nowhere",
        "RHETOR_MODEL": "local/m",
    }.items():
        monkeypatch.setenv(name, value)
    settings = read_settings(file, {"port": None, "host": "::1"})
    assert settings == Settings(
        hub=HubSettings("::1", 3, 5, ("a.test",)),
        models=ModelSettings(agents=()),
        teams={"sky": ("numa",), "sea": ("apollo",)},
        specialists={"apollo": SpecialistSettings("5"), "athena": None},
        providers={"box": ProviderSettings(allow_private=True)},
    )
    assert read_settings(file, {"port": 4}).hub.port == 4


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hub: {prot: 1}", "hub.prot: there is no such setting; did you mean port?"),
        ("tols: {}", "tols: there is no such setting; did you mean tools?"),
        ("tools: {a: {executable: x, driver: pty}}", "tools.a.driver: must be terminal, stdio, claude, "),
        ("mcp_servers: {a: {command: [x], approve: some}}", "mcp_servers.a.approve: must be all or a list"),
        ("mcp_servers: {a: {command: [x], url: y}}", "mcp_servers.a: set either command or url"),
        ("tools: {a: {cwd: x}}", "tools.a.cwd: must be an absolute path, a path that begins with ~, or"),
        ("tools: {a: {executable: x, prompt: '['}}", "tools.a.prompt: must be a regular expression: "),
        ("tools: {a: {executable: x, env: {A=B: c}}}", "tools.a.env.A=B: must be the name of a variable"),
        ("mcp_servers: {a: {command: [x], env: {'': c}}}", "must be the name of a variable, without `=`"),
        ("tools: {a: {args: [x]}}", "tools.a.executable: must be set to the name or path of a program"),
        ("models: {prices: {a/b: {input_per_1m: -1, output_per_1m: 2}}}", "a/b: input_per_1m must be a "),
        ("models: {prices: {a/b: {input_per_1m: .inf, output_per_1m: 2}}}", "a/b: input_per_1m must be a "),
        ("models: {prices: {a/b: {input_per_1m: 1}}}", "models.prices.a/b: missing key `output_per_1m`"),
        ("models: {prices: {b: {}}}", "models.prices.b: must be `provider/model` or `cli:agent`"),
        ("providers: {a: {allow_private: secret}}", "providers.a.allow_private: must be true or false"),
        ("specialists: {User: {}}", "specialists.User: this name could be mistaken for a person"),
        ("tools: {root: {executable: cat}}", "tools.root: this name could be mistaken for a person"),
        ("tools: {apollo: {executable: x}}", "tools.apollo: a specialist has the same name; choose "),
        ("models: {default: box/m}", "default: there is no provider called 'box'; there are anthropic, "),
        ("models: {default: atuo}", "models.default: 'atuo' is not a model; did you mean auto?"),
        ("models: {default: llama3}", "models.default: 'llama3' is not a model; write auto, offline, "),
        ("models: {default: 'openai/'}", "models.default: 'openai/' is not a model; write auto, offline, "),
        ("models: {fallbacks: [a/m]}", "models.fallbacks.0: there is no provider called 'a'; there are"),
        ("specialists: {metis: {model: openia/gpt}}", "metis.model: there is no provider called 'openia'; d"),
        ("specialists: {metis: {model: 'cli:claud'}}", "agent that can be a model called 'claud'; did you "),
        ("specialists: {a: {model: 'cli:cursor'}}", "a.model: there is no agent that can be a model called "),
        ("teams: {1: [apollo]}", "teams.1: must be a name: a letter, and up to 63 letters, digits"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_rejected_with_its_key_and_what_is_allowed(
    tmp_path: Path, text: str, why: str
) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        peers(tmp_path, text)
    detail = rejected.value.detail
    assert detail.startswith(f"{tmp_path / 'config.yaml'}: line 1: ") and why in detail
    assert "secret" not in detail


def test_an_invalid_variable_is_named_even_if_the_file_has_the_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHETOR_TIMEOUTS__IDLE", "-1")
    with pytest.raises(InvalidSettings) as rejected:
        peers(tmp_path, "timeouts: {connect: 5}\n")
    assert rejected.value.detail == "RHETOR_TIMEOUTS__IDLE: timeouts.idle: must be a number above 0"


def test_a_tool_with_the_name_of_a_coding_agent_is_merged_over_it_key_by_key(tmp_path: Path) -> None:
    text = "tools: {opencode: {args: [], cwd: '~'}, gemini: {launch_args: [-x]}, codex: null}\n"
    found = peers(tmp_path, text)
    assert "codex" not in found
    programs = [found[name].program for name in ("opencode", "gemini")]
    assert [(p.argv, p.cwd) for p in programs if p] == [(("opencode",), "~"), (("gemini", "-x"), "caller")]
    assert found["opencode"].display_name == "OpenCode"


def test_differences_are_named_by_key_and_a_new_entry_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    before = read_settings(file)
    file.write_text("session: {ttl: 5}\ntools: {box: {executable: cat}}\nhub: {allowed_hosts: [a.test]}\n")
    after = read_settings(file)
    assert differing(before, after) == ["hub.allowed_hosts", "session.ttl", "tools.box"]
    assert differing(after, after) == []
    shown = {key: (value, origin) for key, value, origin in origins(after, file)}
    assert shown["session.ttl"] == (5.0, f"{file}:1")
    assert shown["tools.box.driver"] == ("terminal", "built in")


def test_the_variable_of_a_section_is_the_origin_of_only_the_keys_it_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("hub: {idle_exit: 5}\nmodels: {prices: {a/b.1: {input_per_1m: 1, output_per_1m: 2}}}\n")
    monkeypatch.setenv("RHETOR_HUB", '{"port": 2, "allowed_hosts": ["a.test"]}')
    monkeypatch.setenv("RHETOR_HUB__PORT", "3")
    monkeypatch.setenv("RHETOR_TOOLS__BOX", '{"executable": "cat"}')
    shown = {key: origin for key, _, origin in origins(read_settings(file), file)}
    wanted = {
        "hub.port": "RHETOR_HUB__PORT",
        "hub.allowed_hosts": "RHETOR_HUB",
        "hub.host": "built in",
        "hub.idle_exit": f"{file}:1",
        "models.prices.a/b.1.input_per_1m": f"{file}:2",
        "tools.box.executable": "RHETOR_TOOLS__BOX",
        "tools.box.driver": "built in",
    }
    assert {key: shown[key] for key in wanted} == wanted
    monkeypatch.setenv("RHETOR_TOOLS__BOX", '{"args": ["x"]}')
    with pytest.raises(InvalidSettings) as rejected:
        peers(tmp_path, "hub: {idle_exit: 5}\n")
    assert rejected.value.detail.startswith("RHETOR_TOOLS__BOX: tools.box.executable: must be set")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
                for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "line 5: aliases stand for more than 100000 values",
        ),
        ("hub: &h\n  port: *h\n", "line 1: an alias stands for a value that contains it"),
        ("a: " + "[" * 50_000, "line 1: values are nested more than 100 deep"),
        ("a: " + "{a: " * 50_000, "line 1: values are nested more than 100 deep"),
        ("# " + "x" * (1 << 20), "the file is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_would_need_much_memory_or_stack_is_rejected(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSettings) as rejected:
        read_settings(file)
    assert rejected.value.detail == f"{file}: {why}"


def test_aliases_and_merge_keys_are_allowed(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("teams:\n  a: &members [numa, apollo]\n  b: *members\n")
    assert read_settings(file).teams == {"a": ("numa", "apollo"), "b": ("numa", "apollo")}


def budgets(folder: Path, text: str) -> list[Budget]:
    file = folder / "config.yaml"
    file.write_text(text)
    settings = read_settings(file)
    return list(budgets_of(settings, peers_of(settings)))


def test_budgets_are_read_with_their_limits_and_fallbacks(tmp_path: Path) -> None:
    assert budgets(
        tmp_path,
        "budgets:\n"
        "  global: {usd_per_month: 50, usd_per_day: '2.50'}\n"
        "  peer.Apollo:\n    tokens_per_day: 1000\n    on_limit:\n      fallback: ATHENA\n"
        "  project.web: {usd_per_day: 0.5, on_limit: ask}\n"
        "  caller.kim: {tokens_per_day: 0, on_limit: 'fallback:numa'}\n",
    ) == [
        Budget("global", Decimal("2.50"), Decimal(50)),
        Budget("peer.apollo", tokens_per_day=1000, fallback="athena"),
        Budget("project.web", Decimal("0.5")),
        Budget("caller.kim", tokens_per_day=0, fallback="numa"),
    ]
    assert budgets(tmp_path, "") == []


def test_a_variable_sets_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHETOR_BUDGETS__GLOBAL__TOKENS_PER_DAY", "7")
    monkeypatch.setenv("RHETOR_BUDGETS__GLOBAL__ON_LIMIT", "fallback:numa")
    assert budgets(tmp_path, "") == [Budget("global", tokens_per_day=7, fallback="numa")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "planet.mars: {}",
            "budgets.planet.mars: must be `global`, `peer.NAME`, `project.NAME` or `caller.NAME`",
        ),
        (
            "global: {tokens_per_day: -1}",
            "budgets.global.tokens_per_day: must be a whole number of at least 0",
        ),
        ("global: {usd_per_day: -1}", "budgets.global: usd_per_day must be a decimal number of at least 0"),
        (
            "global: {usd_per_week: 1}",
            "budgets.global.usd_per_week: there is no such setting; did you mean usd_per_",
        ),
        ("global: {on_limit: explode}", "budgets.global.on_limit: must be `ask` or `fallback: PEER`"),
        ("global: {on_limit: {fallback: nobody}}", "budgets.global.on_limit: no peer is called 'nobody'"),
        ("peer.nobody: {usd_per_day: 1}", "budgets.peer.nobody: no peer is called 'nobody'"),
        (
            "peer.Apollo: {usd_per_day: 1, on_limit: {fallback: apollo}}",
            "Apollo.on_limit: must name another peer",
        ),
        ("global: {on_limit: ask}", "budgets.global: must have usd_per_day, usd_per_month or tokens_per_day"),
        ("global: {usd_per_day: 1, on_limit: {fallback: box}}", "box has no tokens of its own"),
        (
            "{peer.apollo: {usd_per_day: 1}, peer.Apollo: {usd_per_day: 1}}",
            "line 2: budgets.peer.Apollo: is there twice",
        ),
    ],
)
def test_an_invalid_budget_is_rejected_with_its_key(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        own = text if text.startswith("{") else "{" + text + "}"
        budgets(tmp_path, f"tools: {{box: {{executable: sh, driver: stdio}}}}\nbudgets: {own}\n")
    assert why in rejected.value.detail


def test_no_issuer_can_make_subjects_of_programs(tmp_path: Path) -> None:
    entry = "{issuer: 'https://id.example', audience: rhetor}"
    peers(tmp_path, f"auth: {{issuers: {{okta: {entry}}}}}\n")
    with pytest.raises(InvalidSettings, match="'agent' is reserved for the programs of peers"):
        peers(tmp_path, f"auth: {{issuers: {{agent: {entry}}}}}\n")
