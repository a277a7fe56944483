"""The commands that set up the hub: its configuration and its specialists."""

from aish.catalogue.page import Page

TITLE = "Setting up"
PAGES = (
    Page(
        "setup",
        "Find what can answer, try it, and choose.",
        "setup [--yes]",
        "setup [json]",
        options={"--yes": "choose the first that works, without asking"},
        details="Finds providers with a key, model servers on this machine and coding agents, asks each a"
        " short question, and writes models.default. Without a terminal, it only reports what it has found,"
        " and exits with 1 if nothing works.",
        examples={
            "aish setup": "find, try and choose",
            "aish setup --yes": "the same without questions, in a script",
        },
    ),
    Page(
        "keys",
        "Store, list and remove the API keys of model providers.",
        examples={
            "aish keys set anthropic": "asks for the key without showing it",
            "aish keys list": "where the key of each provider is",
        },
    ),
    Page(
        "keys set",
        "Store the API key of a provider.",
        "keys set PROVIDER",
        details="The key is read from standard input, or from a prompt that does not show it. It is stored in"
        " the keyring of the system if there is one, otherwise sealed in a file. The next message uses it.",
        examples={
            "aish keys set openai": "asks for the key without showing it",
            "pass show openai | aish keys set openai": "the key from a password manager",
        },
    ),
    Page(
        "keys list",
        "Show where the API key of each provider is stored.",
        "keys list [json]",
        details="A key itself is never shown.",
        examples={
            "aish keys list": "a line per provider",
            "aish keys list --json": "the same, for a program",
        },
    ),
    Page(
        "keys remove",
        "Remove the stored API key of a provider.",
        "keys remove PROVIDER",
        examples={
            "aish keys remove openai": "forget the stored key",
            "aish keys list": "what is left",
        },
    ),
    Page(
        "config",
        "Show the configuration, or edit its file.",
        examples={
            "aish config show models": "the settings of models, and where each comes from",
            "aish config edit": "change the file in your editor",
        },
    ),
    Page(
        "config show",
        "Show the settings in force, and where each comes from.",
        "config show [SETTING…] [json]",
        details="SETTING is a key, such as models.default, or the beginning of several. Secrets are masked.",
        examples={
            "aish config show": "all settings",
            "aish config show models hub.port --json": "some of them, for a program",
        },
    ),
    Page(
        "config edit",
        "Edit the configuration file in $VISUAL or $EDITOR.",
        "config edit",
        details="The text is checked before it replaces the file, and the running hub uses it at once."
        " If it is invalid, you can edit it again.",
        examples={
            "aish config edit": "edit config.yaml",
            "EDITOR='code --wait' aish config edit": "edit it in another editor",
        },
    ),
    Page(
        "config path",
        "Print the path of the configuration file.",
        "config path",
        examples={
            "aish config path": "where config.yaml is",
            'cp "$(aish config path)" ~/backup/': "copy it",
        },
    ),
    Page(
        "specialist",
        "Manage specialists: models with a role and a prompt.",
        examples={
            'aish specialist add critic --prompt "You review code."': "a new peer",
            "aish specialist edit critic": "change its prompt in your editor",
        },
    ),
    Page(
        "specialist list",
        "List the specialists.",
        "specialist list [json]",
        examples={
            "aish specialist list": "a line per specialist",
            "aish specialist list --json": "the same with their prompts, for a program",
        },
    ),
    Page(
        "specialist show",
        "Show a specialist with its prompt.",
        "specialist show SPECIALIST [json]",
        examples={
            "aish specialist show apollo": "role, model, capabilities and prompt",
            "aish specialist show apollo --json": "the same, for a program",
        },
    ),
    Page(
        "specialist add",
        "Add a specialist, which can be used at once.",
        "specialist add NAME --prompt TEXT [--role TEXT] [--model MODEL]",
        options={
            "--prompt": "its system prompt",
            "--role": "its role in a few words",
            "--model": "its model; without it, that of models.default",
        },
        examples={
            'aish specialist add critic --prompt "You review code."': "aish critic reviews code",
            'aish specialist add poet --prompt "$(cat poet.md)" --model ollama/llama3.2': "from a file",
        },
    ),
    Page(
        "specialist edit",
        "Change a specialist, also a built-in one.",
        "specialist edit SPECIALIST [--prompt TEXT] [--role TEXT] [--model MODEL]",
        options={
            "--prompt": "its system prompt",
            "--role": "its role in a few words",
            "--model": "its model",
        },
        details="Without options, opens its prompt in $VISUAL or $EDITOR.",
        examples={
            "aish specialist edit critic": "edit its prompt",
            "aish specialist edit apollo --model cli:claude": "let Claude Code answer for it",
        },
    ),
    Page(
        "specialist remove",
        "Remove a specialist, also a built-in one.",
        "specialist remove SPECIALIST",
        examples={
            "aish specialist remove critic": "the name critic can be used again",
            "aish specialist remove penia": "the same for a built-in one",
        },
    ),
)
