"""The commands that pass messages on: forwards, routes, context, inboxes and aliases."""

from aish.catalogue.page import Page

TITLE = "Forwards, routes, context, inboxes and aliases"
_PEER = {"--peer": "the trays of this peer or terminal, instead of those of this terminal"}
_TRAY = "The tray is prompt, new (the default) or keep."
PAGES = (
    Page(
        "forward",
        "Send the answers of a peer to a terminal or another peer, too.",
        "forward SRC DST [json] [-x]",
        options={
            "--json": "forward each answer as an object with from, to, time and purpose",
            "-x": "make a program on pipes run the text",
        },
        examples={
            "aish forward apollo jill": "show apollo's answers in the terminal that aish --name jill started",
            "aish forward list": "show the forwards that there are",
        },
    ),
    Page(
        "forward list",
        "List the forwards.",
        "forward list [json]",
        examples={
            "aish forward list": "a line per forward, with its last failure",
            "aish forward list --json": "the same, for a program",
        },
    ),
    Page(
        "unforward",
        "Stop forwarding the answers of a peer.",
        "unforward SRC",
        examples={
            "aish unforward apollo": "stop it",
            "aish forward list": "show the forwards that there are",
        },
    ),
    Page(
        "route",
        "Define named chains of peers, and send messages along them.",
        'route ROUTE "message"',
        details="Piped input follows the message.",
        examples={
            "aish route name review numa apollo tekton": "define a chain of three peers",
            'git diff | aish route review "review this"': "send a message along it",
        },
    ),
    Page(
        "route name",
        "Define a named chain of peers.",
        'route name NAME (HOP [purpose "text"])… HOP',
        details="A hop is a peer, @capability, team:NAME or route:NAME.",
        examples={
            "aish route name review numa apollo tekton": "three peers, one after the other",
            'aish route name check apollo purpose "find bugs" athena': "the first one with a purpose",
        },
    ),
    Page(
        "route list",
        "List the routes.",
        "route list [json]",
        examples={"aish route list": "a line per route", "aish route list --json": "the same, for a program"},
    ),
    Page(
        "route show",
        "Show the hops of a route.",
        "route show ROUTE [json]",
        examples={
            "aish route show review": "its peers and their purposes",
            "aish route show review --json": "the same, for a program",
        },
    ),
    Page(
        "route remove",
        "Remove a route.",
        "route remove ROUTE",
        examples={
            "aish route remove review": "remove the route review",
            "aish route list": "show the routes that there are",
        },
    ),
    Page(
        "context",
        "Stage text that a peer receives before its next message.",
        details="Context is staged, then promoted, and then sent once, before the next message.",
        examples={
            'aish context stage apollo "The deadline is Friday"': "add a text",
            "aish context promote apollo": "send it with the next message",
        },
    ),
    Page(
        "context stage",
        "Add a text to the staged context of a peer.",
        'context stage PEER "text"',
        examples={
            'aish context stage apollo "The deadline is Friday"': "add a text",
            "aish context show apollo": "show what is staged",
        },
    ),
    Page(
        "context show",
        "Show the context of a peer.",
        "context show PEER [json]",
        examples={
            "aish context show apollo": "what is staged, and what is sent next",
            "aish context show apollo --json": "the same, for a program",
        },
    ),
    Page(
        "context promote",
        "Send the staged context once, before the next message.",
        "context promote PEER",
        examples={
            "aish context promote apollo": "the next message to apollo has the context",
            "aish context promote apollo && aish apollo 'plan it'": "promote and send",
        },
    ),
    Page(
        "context clear",
        "Clear the context of a peer.",
        "context clear PEER",
        examples={
            "aish context clear apollo": "discard what was staged and promoted",
            "aish context show apollo": "check that nothing is left",
        },
    ),
    Page(
        "purpose",
        "Say what a peer or this terminal is for.",
        "purpose [json]",
        'purpose PEER "text"',
        'purpose "text"',
        details="Without a name, the purpose is that of this terminal. An empty text removes a purpose.",
        examples={
            'aish purpose apollo "reviews the cache"': "sent along with each message to apollo",
            "aish purpose": "list the purposes",
        },
    ),
    Page(
        "inbox",
        "Leave messages for peers and terminals, and read them.",
        "inbox [json]",
        details="Without a subcommand, counts the messages in the three trays of this terminal. " + _TRAY,
        examples={
            'aish inbox send apollo "when you have time"': "leave a message, without calling apollo",
            "aish inbox get": "take the oldest message for this terminal",
        },
    ),
    Page(
        "inbox send",
        "Put a message into a tray of a peer or terminal.",
        'inbox send PEER [prompt|new|keep] "text"',
        details="Prints the id of the message. Without a text, standard input is the message. " + _TRAY,
        examples={
            'aish inbox send jill "the build is green"': "leave a message for a terminal",
            "make 2>&1 | aish inbox send apollo keep": "leave what a program prints",
        },
    ),
    Page(
        "inbox show",
        "List the messages in a tray.",
        "inbox show [prompt|new|keep] [--peer PEER] [json]",
        options=_PEER,
        details=_TRAY,
        examples={
            "aish inbox show": "the new messages for this terminal",
            "aish inbox show keep --peer apollo": "what apollo keeps",
        },
    ),
    Page(
        "inbox json",
        "Print the messages in a tray as JSON.",
        "inbox json [prompt|new|keep] [--peer PEER]",
        options=_PEER,
        details=_TRAY,
        examples={
            "aish inbox json": "the new messages for this terminal",
            "aish inbox json keep --peer apollo": "what apollo keeps",
        },
    ),
    Page(
        "inbox get",
        "Take the oldest message out of a tray.",
        "inbox get [prompt|new|keep] [--peer PEER] [json]",
        options=_PEER,
        details=_TRAY,
        examples={
            "aish inbox get": "print the oldest new message, and remove it",
            "aish inbox get prompt --peer apollo": "take a message of apollo",
        },
    ),
    Page(
        "inbox count",
        "Count the messages in a tray.",
        "inbox count [prompt|new|keep] [--peer PEER] [json]",
        options=_PEER,
        details=_TRAY,
        examples={
            "aish inbox count": "how many new messages this terminal has",
            "aish inbox count keep --peer apollo": "how many apollo keeps",
        },
    ),
    Page(
        "inbox clear",
        "Remove the messages in a tray.",
        "inbox clear [prompt|new|keep] [--peer PEER] [json]",
        options=_PEER,
        details=_TRAY,
        examples={
            "aish inbox clear": "remove the new messages of this terminal",
            "aish inbox clear keep --peer apollo": "remove what apollo keeps",
        },
    ),
    Page(
        "alias",
        "Give names to lines that are used often.",
        details=(
            "An alias runs as aish NAME and as a word of other lines. $1, $2 and so on are its arguments, and"
            " $@ or $* is all of them. An alias cannot call an alias."
        ),
        examples={
            "aish alias create review 'git diff | apollo \"review: $*\"'": "name a line",
            "aish review the tests": "run it",
        },
    ),
    Page(
        "alias create",
        "Give a name to a line.",
        'alias create NAME "line" ["description"]',
        examples={
            "aish alias create review 'git diff | apollo \"review: $*\"'": "a line with arguments",
            "aish alias create hi 'apollo hello' 'greets apollo'": "a line with a description",
        },
    ),
    Page(
        "alias list",
        "List the aliases.",
        "alias list [json]",
        examples={"aish alias list": "a line per alias", "aish alias list --json": "the same, for a program"},
    ),
    Page(
        "alias show",
        "Show the line of an alias.",
        "alias show ALIAS [json]",
        examples={
            "aish alias show review": "its line and its description",
            "aish alias show review --json": "the same, for a program",
        },
    ),
    Page(
        "alias delete",
        "Delete an alias.",
        "alias delete ALIAS",
        examples={
            "aish alias delete review": "delete the alias review",
            "aish alias list": "show the aliases that there are",
        },
    ),
)
