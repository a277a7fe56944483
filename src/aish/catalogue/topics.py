"""The topics of help: what there is to know beside the commands. Each has a title and a text."""

EXIT_CODES = {
    "0": "done",
    "1": "the peer failed",
    "2": "wrong usage",
    "3": "unknown peer, command, session or the like",
    "4": "no permission",
    "5": "hub unreachable",
    "6": "the answer of a terminal program ended only by silence",
    "124": "timed out",
    "130": "interrupted",
}
_GRAMMAR = """\
script     := line ((newline | ";" | "&&" | "||") line)*
line       := pipeline | broadcast
pipeline   := ["<" file] stage ("|" stage)* [">" file | ">>" file]
stage      := target option* [text] option* | "{" target ("|" target)* "}"
              | program [args…]
broadcast  := target ("," target)* option* "<<" text option*
target     := peer | "@"capability | "team:"name
text       := "double quoted" | 'single quoted' | words

A word is, in this order: a command, a peer, an alias, a program on the PATH.
./codex and command codex mean the program codex, and not the peer.

  git diff | apollo "review this" | tee review.md
  echo "which cache?" | {apollo|athena} | prometheus "compare the answers"
  apollo,athena,numa << "vote: yes or no?"
  @code-analysis << "is this safe?"

Quotes protect their content. $NAME and ${NAME} are environment variables,
$1 and $@ the arguments of a script; not in single quotes. A variable that is
not set is an error. \\ at the end of a line continues it; # at its start begins
a comment. cd, export, exit and quit are built in.

A program after a peer receives the answer as it arrives. A peer after a program
waits until the program exits with 0. If a stage fails, no later one is called.
"""
_PROMPT = """\
Tab             complete the word; again, or Down: choose from the menu.
                Enter takes the choice, Esc closes the menu
Up, Down        move in the history; with some text, among the lines that
                begin with it
Ctrl-R          search the history
Alt-Enter       begin a new line
Ctrl-X Ctrl-E   write the line in $VISUAL or $EDITOR, and run it
Ctrl-C          interrupt the answer, not the shell
Ctrl-D          leave the shell, as exit and quit do

The line below the input shows how many turns of yours run, how many messages
are unread in the inbox of this terminal, and how many permission requests wait.

Several pasted lines run one after the other; in a conversation, they are one
message. A line that begins with a space is not kept in the history.

If a peer asks for permission during its turn, one key answers: y (allow once),
a (allow always), n (deny), d (details). Requests of other peers appear above
the input line; aish approve and aish deny answer them.
"""
TOPICS = {
    "messages": ("the options of a message", ""),
    "grammar": ("pipelines, broadcasts, scripts, quotes and variables", _GRAMMAR),
    "prompt": ("keys of the interactive shell, and permission requests", _PROMPT),
    "exit-codes": ("what the exit codes mean", ""),
}
