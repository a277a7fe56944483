"""Whether coding agents are logged in, judged by the files in a home."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rhetor.drivers.agents.logins import login_of


def home(folder: Path, files: dict[str, Any]) -> dict[str, str]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {"HOME": str(folder)}


@pytest.mark.parametrize(
    ("program", "files", "known"),
    [
        ("claude", {}, "no"),
        ("/opt/bin/claude", {".claude/.credentials.json": {"claudeAiOauth": {}}}, "yes"),
        ("claude", {".claude/.credentials.json": {"mcpOAuth": {}}}, "no"),
        ("claude", {".claude/.credentials.json": "no json"}, "no"),
        ("claude", {".claude/settings.json": {"apiKeyHelper": "/bin/key"}}, "yes"),
        ("codex", {}, "no"),
        ("codex", {".codex/auth.json": {"OPENAI_API_KEY": None, "tokens": {"access_token": "t"}}}, "yes"),
        ("codex", {".codex/auth.json": {"OPENAI_API_KEY": None, "tokens": None}}, "no"),
        ("codex", {".codex/config.toml": 'model_provider = "mine"'}, "unknown"),
        ("codex", {".codex/config.toml": 'cli_auth_credentials_store = "keyring"'}, "unknown"),
        ("codex", {".codex/config.toml": "no toml"}, "no"),
        ("gemini", {}, "no"),
        ("gemini", {".gemini/oauth_creds.json": {"refresh_token": "t"}}, "yes"),
        ("gemini", {".gemini/settings.json": {"security": {"auth": {}}}}, "unknown"),
        ("claude", {".claude.json": {"primaryApiKey": "k"}}, "yes"),
        ("claude", {".claude.json": {"userID": "u"}}, "no"),
        ("claude", {".claude/settings.json": {"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}}, "yes"),
        ("claude", {".claude/settings.json": {"env": {"PORT": "1"}}}, "no"),
        ("claude", {"work/.claude/settings.local.json": {"env": {"ANTHROPIC_API_KEY": "k"}}}, "yes"),
        ("codex", {".codex/config.toml": '[model_providers.mine]\nbase_url = "http://localhost"'}, "unknown"),
        ("codex", {".codex/config.toml": 'profile = "work"'}, "unknown"),
        ("codex", {".codex/config.toml": 'model_provider = "openai"'}, "no"),
        ("codex", {"work/.codex/config.toml": 'model_provider = "mine"'}, "unknown"),
        ("gemini", {".gemini/settings.json": {"selectedAuthType": "oauth-personal"}}, "unknown"),
        ("gemini", {".gemini/.env": "GEMINI_API_KEY=k"}, "unknown"),
        ("gemini", {".env": "PORT=1"}, "no"),
        ("gemini", {"work/.env": "export GEMINI_API_KEY=k"}, "unknown"),
        ("gemini", {".gemini/google_accounts.json": {"active": "me"}}, "unknown"),
        ("opencode", {".local/share/opencode/auth.json": {"anthropic": {}}}, "yes"),
        ("opencode", {}, "unknown"),
        ("copilot", {}, "unknown"),
        ("my-agent", {}, "unknown"),
    ],
)
def test_a_login_is_recognized_by_its_files(
    tmp_path: Path, program: str, files: dict[str, Any], known: str
) -> None:
    assert login_of(program, home(tmp_path, files), (), str(tmp_path / "work")).known == known


@pytest.mark.parametrize(
    ("program", "variable", "known"),
    [
        ("claude", "ANTHROPIC_API_KEY", "yes"),
        ("claude", "CLAUDE_CODE_OAUTH_TOKEN", "yes"),
        ("claude", "OPENAI_API_KEY", "no"),
        ("codex", "OPENAI_API_KEY", "no"),
        ("gemini", "GEMINI_API_KEY", "yes"),
        ("copilot", "COPILOT_GITHUB_TOKEN", "yes"),
        ("copilot", "COPILOT_PROVIDER_BASE_URL", "yes"),
        ("cursor-agent", "CURSOR_API_KEY", "yes"),
        ("claude", "CLAUDE_CODE_USE_VERTEX", "unknown"),
        ("codex", "CODEX_API_KEY", "unknown"),
        ("gemini", "GOOGLE_GENAI_USE_VERTEXAI", "unknown"),
    ],
)
def test_a_variable_of_the_program_can_be_its_login(
    tmp_path: Path, program: str, variable: str, known: str
) -> None:
    assert login_of(program, {**home(tmp_path, {}), variable: "x"}).known == known
    assert login_of(program, {**home(tmp_path, {}), variable: ""}).known != "yes"


@pytest.mark.parametrize(
    ("program", "arguments", "known"),
    [
        ("claude", ("--settings", "/etc/key.json"), "unknown"),
        ("claude", ("--settings=/etc/key.json",), "unknown"),
        ("claude", ("--model", "opus"), "no"),
        ("codex", ("-c", 'model_provider="mine"'), "unknown"),
        ("codex", ("--profile=work",), "unknown"),
    ],
)
def test_a_login_may_be_an_argument(
    tmp_path: Path, program: str, arguments: tuple[str, ...], known: str
) -> None:
    assert login_of(program, home(tmp_path, {}), arguments).known == known


@pytest.mark.parametrize(
    ("script", "known"),
    [
        ("#!/bin/sh\nANTHROPIC_API_KEY=$(pass show key) exec claude", "unknown"),
        ("#!/usr/bin/env bash\n. ~/.keys\nexec claude", "unknown"),
        ("#!/bin/sh\nexport PATH=/opt/bin:$PATH\nexec claude", "no"),
        ("#!/usr/bin/env node\nconst KEY = 1", "no"),
    ],
)
def test_a_script_that_starts_an_agent_may_log_it_in(tmp_path: Path, script: str, known: str) -> None:
    environment = home(tmp_path, {"bin/claude": script})
    assert login_of(str(tmp_path / "bin" / "claude"), environment).known == known


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    os.mkfifo(tmp_path / ".claude" / "settings.json")
    assert login_of("claude", {"HOME": str(tmp_path)}).known == "no"


def test_the_login_is_read_from_the_agents_own_home(tmp_path: Path) -> None:
    home(tmp_path, {"own/.credentials.json": {"claudeAiOauth": {}}, "own/auth.json": {"OPENAI_API_KEY": "k"}})
    for program, variable in (("claude", "CLAUDE_CONFIG_DIR"), ("codex", "CODEX_HOME")):
        login = login_of(program, {"HOME": "/nowhere", variable: str(tmp_path / "own")})
        assert (login.known, str(tmp_path / "own") in login.how) == ("yes", True)


def test_the_credential_is_not_shown(tmp_path: Path) -> None:
    environment = home(tmp_path, {".codex/auth.json": {"OPENAI_API_KEY": "canary"}})
    assert "canary" not in login_of("codex", environment).how
    assert "canary" not in login_of("claude", {**environment, "ANTHROPIC_API_KEY": "canary"}).how
