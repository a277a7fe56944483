"""The built-in entries of `tools:`: how each known coding agent is run, and how to install it."""

from __future__ import annotations

from typing import Any

_NPM = "install it with: npm install -g {}"


def _agent(
    display_name: str,
    driver: str,
    executable: str,
    args: tuple[str, ...],
    pass_env: tuple[str, ...],
    install: str,
    capabilities: dict[str, float | bool],
    env: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "display_name": display_name,
        "driver": driver,
        "executable": executable,
        "args": args,
        "env": env or {},
        "pass_env": pass_env,
        "cwd": "caller",
        "description": f"the coding agent {display_name}",
        "install": install,
        "capabilities": capabilities,
    }


# variables that any agent may need: the folders of its state, and how to reach its provider
_PASSED = (
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
)
_ANTHROPIC = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
_OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL")
_GOOGLE = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_GEMINI_BASE_URL",
)
# its login, its folders, and a model provider of the user's own
_COPILOT = (
    "COPILOT_GITHUB_TOKEN",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GH_HOST",
    "COPILOT_GH_HOST",
    "COPILOT_HOME",
    "COPILOT_CACHE_HOME",
    "COPILOT_MODEL",
    "COPILOT_OFFLINE",
    "COPILOT_PROVIDER_BASE_URL",
    "COPILOT_PROVIDER_TYPE",
    "COPILOT_PROVIDER_API_KEY",
    "COPILOT_PROVIDER_API_KEY_COMMAND",
    "COPILOT_PROVIDER_BEARER_TOKEN",
    "COPILOT_PROVIDER_WIRE_API",
    "COPILOT_PROVIDER_TRANSPORT",
    "COPILOT_PROVIDER_AZURE_API_VERSION",
    "COPILOT_PROVIDER_HEADERS",
    "COPILOT_PROVIDER_MODEL_ID",
    "COPILOT_PROVIDER_WIRE_MODEL",
    "COPILOT_PROVIDER_MAX_PROMPT_TOKENS",
    "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS",
)

# capabilities of these agents in the older API, for which its clients still look
_OLDER_CLAUDE = ("code-generation", "multi-file", "project-context", "testing")
_OLDER_CURSOR = (
    "code-editing",
    "ai-completion",
    "chat-interface",
    "terminal-integration",
    "file-management",
)
_OLDER_CONTINUE = ("code-assistance", "context-aware", "multi-model", "custom-models", "embeddings")

# by name, with the keys of `tools:` in config.yaml
CODING_AGENTS: dict[str, dict[str, Any]] = {
    "claude-code": _agent(
        "Claude Code",
        "claude",
        "claude",
        (),
        (
            *_PASSED,
            *_ANTHROPIC,
            "ANTHROPIC_MODEL",
            "CLAUDE_CONFIG_DIR",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        ),
        _NPM.format("@anthropic-ai/claude-code"),
        {
            "coding": 0.95,
            "refactoring": 0.92,
            "code-analysis": 0.9,
            "debugging": 0.9,
            **dict.fromkeys(_OLDER_CLAUDE, 0.85),
        },
        {"DISABLE_AUTOUPDATER": "1"},
    ),
    "codex": _agent(
        "Codex",
        "codex",
        "codex",
        (),
        (*_PASSED, *_OPENAI, "CODEX_HOME", "CODEX_API_KEY"),
        _NPM.format("@openai/codex"),
        {"coding": 0.93, "refactoring": 0.9, "code-analysis": 0.88, "debugging": 0.88},
    ),
    "opencode": _agent(
        "OpenCode",
        "acp",
        "opencode",
        ("acp",),
        (*_PASSED, *_ANTHROPIC, *_OPENAI, *_GOOGLE, "OPENROUTER_API_KEY", "OPENCODE_CONFIG"),
        _NPM.format("opencode-ai"),
        {"coding": 0.88, "refactoring": 0.85, "code-analysis": 0.82},
    ),
    "gemini": _agent(
        "Gemini CLI",
        "acp",
        "gemini",
        ("--acp",),
        (*_PASSED, *_GOOGLE),
        _NPM.format("@google/gemini-cli"),
        {"coding": 0.88, "code-analysis": 0.85, "refactoring": 0.82},
    ),
    "copilot": _agent(
        "GitHub Copilot",
        "acp",
        "copilot",
        ("--acp",),
        (*_PASSED, *_COPILOT),
        _NPM.format("@github/copilot"),
        {"coding": 0.88, "refactoring": 0.85, "code-analysis": 0.82, "debugging": 0.82},
        {"COPILOT_AUTO_UPDATE": "false"},
    ),
    "continue": _agent(
        "Continue",
        "continue",
        "cn",
        ("--exclude", "Bash"),  # without this, Continue runs any command without asking
        # no API keys: Continue writes an Anthropic key that it receives into its configuration
        (*_PASSED, "CONTINUE_GLOBAL_DIR", "CONTINUE_CLI_ENABLE_TELEMETRY"),
        _NPM.format("@continuedev/cli"),
        {
            "coding": 0.85,
            "refactoring": 0.82,
            "code-analysis": 0.8,
            "streaming": False,
            **dict.fromkeys(_OLDER_CONTINUE, 0.8),
        },
    ),
    "cursor": _agent(
        "Cursor",
        "cursor",
        "cursor-agent",
        (),
        (*_PASSED, "CURSOR_API_KEY"),
        "see https://cursor.com/cli for how to install it",
        {
            "coding": 0.9,
            "refactoring": 0.88,
            "code-analysis": 0.85,
            "debugging": 0.85,
            "streaming": False,
            **dict.fromkeys(_OLDER_CURSOR, 0.85),
        },
    ),
    "goose": _agent(
        "Goose",
        "acp",
        "goose",
        ("acp",),
        (*_PASSED, *_ANTHROPIC, *_OPENAI, *_GOOGLE, "OPENROUTER_API_KEY", "GOOSE_PROVIDER", "GOOSE_MODEL"),
        "see https://block.github.io/goose for how to install it",
        {"coding": 0.85, "refactoring": 0.8},
    ),
}
