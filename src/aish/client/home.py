"""This user's hub: the folder of its state, its socket, and the key with which a peer's program calls it."""

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
    if base := environment.get("XDG_STATE_HOME"):
        return os.path.join(base, "rhetor")
    user = environment.get("HOME") or _home_in_passwd()
    return os.path.join(user, ".local/state/rhetor") if user else f"/var/tmp/rhetor-{os.getuid()}"


def own_key(environment: "Mapping[str, str]" = os.environ) -> str:
    """Return the key of the peer whose program this process belongs to, which names the peer to the hub. It
    is empty in a person's shell."""
    key = environment.get("RHETOR_TOKEN", "")
    return key if key.startswith("rk_") and key.isascii() and key.isprintable() else ""


def _home_in_passwd() -> str:
    """Return the user's home folder, or an empty string if the user has no entry, as in some containers."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def socket_path(home: str, environment: "Mapping[str, str]" = os.environ) -> str:
    """Return the path of the hub's socket: in the state folder, or the runtime folder if it is too long.

    The hub writes the runtime folder to the file `runtime`, because callers can have another one (cron, sudo,
    ssh). Until there is this file, no hub has been started.
    """
    path = home + "/hub.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    try:
        with open(home + "/runtime", "rb") as file:
            recorded = file.read(4096)
    except OSError:
        recorded = b""
    if recorded:
        return os.fsdecode(recorded.rstrip(b"\n")) + "/hub.sock"
    import zlib

    digits = f"{zlib.crc32(os.fsencode(os.path.realpath(home))):08x}"
    runtime = environment.get("XDG_RUNTIME_DIR") or "/tmp"
    return f"{runtime}/rhetor-{os.getuid()}-{digits}/hub.sock"
