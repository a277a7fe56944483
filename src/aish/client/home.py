"""Paths of this user's hub: the folder of its state, and its socket."""

# pathlib takes too long to import for a run of a few milliseconds
# ruff: noqa: PTH100, PTH111, PTH118
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# The kernel accepts 108 bytes including the final NUL. The other bytes are for sockets beside the hub's.
_LONGEST_PATH = 100


def state_home(environment: "Mapping[str, str]" = os.environ) -> str:
    """Return the folder of the hub's state: `RHETOR_HOME`, or `rhetor` in the user's state folder."""
    home = environment.get("RHETOR_HOME")
    if home:
        return os.path.abspath(os.path.expanduser(home))
    base = environment.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "rhetor")


def socket_path(home: str, environment: "Mapping[str, str]" = os.environ) -> str:
    """Return the path of the hub's socket: in the state folder, or the runtime folder if it is too long."""
    path = home + "/hub.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    import zlib

    digits = f"{zlib.crc32(os.fsencode(os.path.realpath(home))):08x}"
    runtime = environment.get("XDG_RUNTIME_DIR") or "/tmp"
    return f"{runtime}/rhetor-{os.getuid()}-{digits}/hub.sock"
