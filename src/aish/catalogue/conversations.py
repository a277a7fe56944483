"""The commands for named conversations."""

from aish.catalogue.page import Page

TITLE = "Conversations"
PAGES = (
    Page(
        "sessions",
        "Create, continue, save, rewind, fork and export conversations.",
        details="Without a subcommand, lists the sessions. A name can be an id. session is the same command.",
        examples={
            "aish session create cache --tool apollo": "begin a conversation that has a name",
            'aish apollo -s cache "and with Redis?"': "continue it",
        },
    ),
    Page(
        "sessions list",
        "List the sessions that have not ended.",
        "sessions list [--tool PEER] [--all] [json]",
        details="The age is the time since its last use. A session without a message is not listed. "
        "Costs are in USD; a plus sign stands for what is unknown.",
        options={"--tool": "only the sessions with this peer", "--all": "include ended sessions"},
        examples={
            "aish sessions list": "the most recently used session first",
            "aish sessions list --tool codex --all": "all sessions with codex, also ended ones",
        },
    ),
    Page(
        "sessions create",
        "Create a session with a peer.",
        "sessions create NAME --tool PEER [--project PROJECT] [--cwd FOLDER] [-s|--session N]",
        options={
            "--tool": "the peer",
            "--project": "the project of the session; its program runs in the folder of the project",
            "--cwd": "the folder in which a program of the session runs, by default this one",
            "-s": "how many earlier messages a model receives (10)",
        },
        examples={
            "aish session create cache --tool apollo -s 20": "a model that receives 20 earlier messages",
            "aish session create fix --tool codex --cwd ~/src/app": "a coding agent in a folder",
        },
    ),
    Page(
        "sessions resume",
        "Continue a session, on a terminal at a prompt.",
        "sessions resume SESSION",
        "sessions resume PEER SESSION",
        details="From now on, messages to its agent from this folder go to this session.",
        examples={
            "aish session resume cache": "open a prompt in the session cache",
            "aish session resume codex 0199a6c2": "continue a session of codex by its id",
        },
    ),
    Page(
        "sessions save",
        "Name the last session, or make a checkpoint of a named one.",
        "sessions save NAME [SESSION] [--tool PEER]",
        options={"--tool": "the peer whose last session in this folder is meant"},
        details=(
            "A session with a name does not expire. If a session has the name already, makes a checkpoint"
            " of it."
        ),
        examples={
            "aish session save cache": "name the unnamed session that was used last in this folder",
            "aish session save fix --tool codex": "name the last session with codex",
        },
    ),
    Page(
        "sessions delete",
        "End a session. Its messages stay in the log.",
        "sessions delete SESSION",
        examples={
            "aish session delete cache": "end it; the name can be used again",
            "aish session delete 0199a6c2": "the same, by id",
        },
    ),
    Page(
        "sessions show",
        "Show a session and its last messages.",
        "sessions show SESSION [--json]",
        examples={
            "aish session show cache": "its peer, its state and the last 20 messages",
            "aish session show cache --json": "the same, for a program",
        },
    ),
    Page(
        "sessions fork",
        "Create a session that continues from this point.",
        "sessions fork SESSION [NEW] [--at CHECKPOINT] [--cwd FOLDER] [--worktree [FOLDER]] [--json]",
        options={
            "--at": "continue from this checkpoint",
            "--cwd": "copy the files of the session into this new folder",
            "--worktree": "copy them into a git worktree, by default next to the repository",
        },
        examples={
            "aish session fork cache": "a copy with the name cache-2",
            "aish session fork fix try --at before --worktree": "from a checkpoint, with its own files",
        },
    ),
    Page(
        "sessions checkpoint",
        "Mark this point of a session, and keep its files.",
        "sessions checkpoint SESSION [NAME] [--json]",
        examples={
            "aish session checkpoint fix": "a checkpoint that is named by its number",
            "aish session checkpoint fix before": "a checkpoint with a name",
        },
    ),
    Page(
        "sessions timeline",
        "Show the checkpoints of a session as a tree.",
        "sessions timeline SESSION [--json]",
        details="The session continues from the checkpoint with a *.",
        examples={
            "aish session timeline fix": "the checkpoints, with their times",
            "aish session timeline fix --json": "the same, for a program",
        },
    ),
    Page(
        "sessions diff",
        "Show what differs between two checkpoints.",
        "sessions diff SESSION CHECKPOINT [CHECKPOINT] [--json]",
        details="With one checkpoint, shows what has changed since. Files and messages are compared.",
        examples={
            "aish session diff fix before": "what has changed since the checkpoint before",
            "aish session diff fix before after": "what differs between two checkpoints",
        },
    ),
    Page(
        "sessions restore",
        "Return a session and its files to a checkpoint.",
        "sessions restore SESSION CHECKPOINT [--dry-run] [--yes] [--json]",
        options={
            "--dry-run": "only show which files and messages would change",
            "--yes": "do not ask",
        },
        examples={
            "aish session restore fix before --dry-run": "show what would change",
            "aish session restore fix before": "show it, ask, and restore",
        },
    ),
    Page(
        "sessions export",
        "Print a whole session.",
        "sessions export SESSION [--format md|json|jsonl]",
        options={
            "--format": "messages (md, the default), messages and events (json), or an event per line (jsonl)"
        },
        examples={
            "aish session export cache > cache.md": "the conversation as Markdown",
            "aish session export cache --format jsonl": "its events, for a program",
        },
    ),
    Page(
        "sessions import",
        "Import conversations that Claude Code and Codex recorded.",
        "sessions import [--tool PEER] [--since TIME] [--dry-run] [--json] [FILE…]",
        options={
            "--tool": "only the conversations of this agent",
            "--since": "only those used since: 12h, 7d, 2w, a date or an RFC 3339 time",
            "--dry-run": "only show what would be imported",
        },
        details="Exits with 1 if a file could not be read.",
        examples={
            "aish sessions import --since 7d": "the conversations of the last week",
            "aish sessions import --tool codex --dry-run": "what there is of codex",
        },
    ),
)
