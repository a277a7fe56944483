"""`aish ci-tool -n NAME -- CMD…`: a program on stdin and stdout as a peer."""

from aish import exits
from aish.client.hub import Hub
from aish.commands.wrap import read_wishes, register, tell_running

HOW = "aish ci-tool -n NAME [-d DELIM] [--json-protocol] [--on-exit survive|reap] -- CMD…"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, the program cannot be run, or the hub refuses.
    """
    flags = {"--json-protocol": "protocol", "--detach": "detach"}
    wishes, program = read_wishes(words, {}, flags, HOW)
    wishes.pop("detach", None)  # it never stays in this terminal
    if "protocol" in wishes:
        wishes["protocol"] = "aish-json"
    tell_running(wishes["name"], register(Hub(), "stdio", wishes, program))
    return exits.DONE
