"""Does what a call asks for before its message is sent: adds files, finds the conversation to continue."""

from aish import exits
from aish.client.hub import Hub
from aish.exits import Failure
from rhetor.domain.grammar import Call, Options, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def prepared(hub: Hub, call: Call) -> Call:
    """Return the call with its files in the text (`-f`) and the session to continue (`-C`).

    Raises:
        Failure: a file cannot be read, there is no conversation to continue, or the call has no single peer.
    """
    text, options = call.text, call.options
    if options.files:
        from aish.turns.attached import with_files

        text = with_files(text, options.files)
    if options.continues:
        if call.target.kind != "peer":
            raise Failure(f"-C continues the conversation with one peer, not with {call.target}", exits.USAGE)
        from aish.turns.continuing import continued

        options = continued(hub, call.target.name, options)
    return Call(call.target, text, options.without("files", "continues"))


def all_prepared(hub: Hub, targets: "Sequence[Target]", text: str, options: Options) -> "list[Call]":
    """Return the calls of a broadcast in the same way. Its files are read once. Raises as `prepared`."""
    if options.files:
        from aish.turns.attached import with_files

        text, options = with_files(text, options.files), options.without("files")
    return [prepared(hub, Call(target, text, options)) for target in targets]
