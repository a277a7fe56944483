"""Does what a call asks for before its message is sent: adds files, uploads attachments, reads the schema,
finds the conversation to continue."""

from aish import exits
from aish.client.hub import Hub
from aish.exits import Failure
from rhetor.domain.grammar import Call, Options, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def prepared(hub: Hub, call: Call) -> Call:
    """Return the call with its files in the text (`-f`), its attachments uploaded (`-a`), its schema read
    (`--schema`) and the session to continue (`-C`).

    Raises:
        Failure: a file cannot be read, there is no conversation to continue, or the call has no single peer.
    """
    text, options = _with_contents(hub, call.text, call.options)
    return _continued(hub, Call(call.target, text, options))


def all_prepared(hub: Hub, targets: "Sequence[Target]", text: str, options: Options) -> "list[Call]":
    """Return the calls of a broadcast in the same way. Its files are read once. Raises as `prepared`."""
    text, options = _with_contents(hub, text, options)
    return [_continued(hub, Call(target, text, options)) for target in targets]


def _continued(hub: Hub, call: Call) -> Call:
    """Return the call with the session to continue, if it continues one."""
    options = call.options
    if not options.continues:
        return call
    if call.target.kind != "peer":
        raise Failure(f"-C continues the conversation with one peer, not with {call.target}", exits.USAGE)
    from aish.turns.continuing import continued

    options = continued(hub, call.target.name, options)
    return Call(call.target, call.text, options.without("continues"))


def _with_contents(hub: Hub, text: str, options: Options) -> "tuple[str, Options]":
    """Return the text and the options with the contents of files in them."""
    if not (options.files or options.attachments or options.schema is not None):
        return text, options
    from aish.turns.attached import with_contents, with_files

    text = with_files(text, options.files) if options.files else text
    return text, with_contents(hub, options.without("files"))


def needs_preparing(options: Options) -> bool:
    """Whether a call with these options has something to do before its message is sent."""
    return bool(options.files or options.attachments or options.continues or options.schema is not None)
