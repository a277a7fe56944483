"""The commands for projects and MCP servers."""

from aish.catalogue.page import Page

TITLE = "Projects and MCP servers"
PAGES = (
    Page(
        "project",
        "Manage folders with defaults for their sessions.",
        examples={
            "aish project create app ~/src/app": "a project in a folder",
            "aish project settings app --peer codex --allow Read": "defaults for its sessions",
        },
    ),
    Page(
        "project list",
        "List the projects.",
        "project list [json]",
        examples={
            "aish project list": "a line per project",
            "aish project list --json": "the same, for a program",
        },
    ),
    Page(
        "project create",
        "Create a project in a folder.",
        "project create NAME [FOLDER]",
        details="The folder, by default this one, must be under one of projects.roots.",
        examples={
            "aish project create app": "a project in this folder",
            "aish project create app ~/src/app": "a project in another folder",
        },
    ),
    Page(
        "project show",
        "Show a project with its settings, sessions and usage.",
        "project show PROJECT [json]",
        examples={
            "aish project show app": "settings, sessions and cost",
            "aish project show app --json": "the same, for a program",
        },
    ),
    Page(
        "project settings",
        "Change the defaults for the sessions of a project.",
        "project settings PROJECT [--peer PEER] [--model MODEL] [--mcp SERVER,…] [--allow RULE,…]"
        " [--ask RULE,…] [--deny RULE,…]",
        options={
            "--peer": "the peer of new sessions",
            "--model": "the model of new sessions",
            "--mcp": "the MCP servers whose tools they may use",
            "--allow": "tools that run without asking",
            "--ask": "tools that ask",
            "--deny": "tools that never run",
        },
        details="Changes only the given settings; an empty value removes one.",
        examples={
            "aish project settings app --peer codex": "new sessions of app are with codex",
            'aish project settings app --allow Read,Grep --deny ""': "change two rules for tools",
        },
    ),
    Page(
        "project forward",
        "Forward the answers of all peers in the sessions of a project.",
        "project forward PROJECT [DST] [json] [-x]",
        options={
            "--json": "forward each answer as an object with from, to, time and purpose",
            "-x": "make a program on pipes run the text",
        },
        details="Without DST, forwards to this terminal, which needs a name.",
        examples={
            "aish project forward app": "show them in this terminal (aish --name NAME)",
            "aish project forward app athena": "send them to the peer athena",
        },
    ),
    Page(
        "project unforward",
        "Stop forwarding the answers in a project.",
        "project unforward PROJECT",
        examples={
            "aish project unforward app": "stop it",
            "aish forward list": "show the forwards that there are",
        },
    ),
    Page(
        "mcp",
        "Manage MCP servers, and let agents use the hub as one.",
        examples={
            "aish mcp add files -- npx -y @modelcontextprotocol/server-filesystem .": "tools for specialists",
            "aish mcp install claude-code": "the tools of the hub for Claude Code",
        },
    ),
    Page(
        "mcp list",
        "List the MCP servers whose tools specialists may have.",
        "mcp list [json]",
        examples={
            "aish mcp list": "a line per server",
            "aish mcp list --json": "the same, for a program",
        },
    ),
    Page(
        "mcp add",
        "Add an MCP server, which can be used at once.",
        "mcp add NAME [--env KEY=VALUE]… [--approve RULE,…|all] [--private] (URL | -- CMD…)",
        options={
            "--env": "an environment variable of the program",
            "--approve": "tools that run without asking",
            "--private": "allow a URL on this machine or in a private network",
        },
        examples={
            "aish mcp add time --approve all -- uvx mcp-server-time": "a program",
            "aish mcp add docs https://docs.example.com/mcp": "a server on the web",
        },
    ),
    Page(
        "mcp remove",
        "Remove an added MCP server.",
        "mcp remove SERVER",
        examples={
            "aish mcp remove time": "remove the server time",
            "aish mcp list": "show the servers that there are",
        },
    ),
    Page(
        "mcp test",
        "Connect to an MCP server, and list its tools.",
        "mcp test SERVER [json]",
        details="Takes at most 10 s, and exits with 1 if the server cannot be used.",
        examples={
            "aish mcp test time": "the tools of the server time",
            "aish mcp test docs && aish apollo 'what is new?'": "ask only if the server works",
        },
    ),
    Page(
        "mcp install",
        "Add the hub to the configuration of an agent, and show it.",
        "mcp install AGENT",
        examples={
            "aish mcp install claude-code": "Claude Code can use the peers as tools",
            "aish mcp install codex": "the same for Codex",
        },
    ),
    Page(
        "mcp uninstall",
        "Remove the hub from the configuration of an agent.",
        "mcp uninstall AGENT",
        examples={
            "aish mcp uninstall claude-code": "remove it from Claude Code",
            "aish mcp uninstall codex": "remove it from Codex",
        },
    ),
)
