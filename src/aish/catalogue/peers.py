"""The commands that show peers, and answer what they ask."""

from aish.catalogue.page import Page

TITLE = "Peers"
PAGES = (
    Page(
        "list",
        "List the peers, by kind.",
        "list [type greek|terminal|project|tool|team|machine] [json]",
        details=(
            "greek are the specialists; terminal includes the shells that have a name; machine are those that"
            " have joined with rhetor join."
        ),
        examples={
            "aish list": "all peers, with their status",
            "aish list type tool --json": "coding agents and wrapped programs, for a program",
        },
    ),
    Page(
        "sockets",
        "List named sockets, readers and unread messages.",
        "sockets [json]",
        examples={
            "aish sockets": "a line per socket",
            "aish sockets --json": "the same, for a program",
        },
    ),
    Page(
        "explain",
        "Show why a peer is idle, busy, blocked or stuck.",
        "explain PEER [--screen] [--json]",
        options={"--screen": "show the screen of a terminal program, too"},
        examples={
            "aish explain claude-code": "its status, and the evidence for it",
            "aish explain box --screen": "the same, with what its terminal shows",
        },
    ),
    Page(
        "wait",
        "Wait until peers are idle, and print those that are.",
        "wait [--any|--all] PEER… [--timeout S] [--json]",
        options={
            "--any": "wait until one of the peers is idle",
            "--all": "wait until all of them are idle (the default)",
            "--timeout": "exit with 124 after S seconds",
        },
        examples={
            "aish wait claude-code codex": "return when both are idle",
            "aish wait --any apollo athena --timeout 60": "wait a minute for the first of two peers",
        },
    ),
    Page(
        "approve",
        "Approve permission requests, or list them.",
        "approve [PERMISSION [OPTION]]",
        "approve [PERMISSION] --answer QUESTION=LABEL[,LABEL…]…",
        "approve --json",
        options={
            "--answer": "answer a question of the request, by its id, header, text or number",
            "--json": "list the pending requests as JSON, and approve nothing",
        },
        details=(
            "Without an id, approves the request if exactly one is pending; otherwise lists the requests and"
            " their options. An id can be shortened."
        ),
        examples={
            "aish approve": "approve the only pending request",
            "aish approve 3f2a always": "choose the option always of the request 3f2a…",
        },
    ),
    Page(
        "deny",
        "Deny a permission request.",
        "deny PERMISSION",
        details="The id can be shortened; aish approve lists the pending requests.",
        examples={
            "aish deny 3f2a9c": "deny one request",
            "aish deny 3f2a": "the same, with a shortened id",
        },
    ),
)
