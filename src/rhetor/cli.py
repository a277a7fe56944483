"""The hub's own commands: `rhetor serve`, `token`, `reload`, `cert create`, `config show`, `doctor`,
`console`, `mcp`, `join`.

Those for backups and the like are in `maintenance/commands.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rhetor.config_cli import add_to as add_config_commands
from rhetor.errors import FenceLost, RhetorError
from rhetor.home import Home, HomeTaken, accepts_connections, state_home
from rhetor.machine.command import add_to as add_join
from rhetor.machine_cli import add_to as add_machine_commands
from rhetor.maintenance import audit_commands, key_commands
from rhetor.maintenance.commands import add_to
from rhetor.maintenance.replacing import finish
from rhetor.token_cli import add_to as add_token_commands
from rhetor.token_cli import rotate_signing

WRONG_USAGE = 2
if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

HOME_HELP = "state folder (default: RHETOR_HOME)"
OTHER_HUB_SECONDS = 10.0  # how long a hub that another shell started may take to listen


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done. 1: the hub failed or is not running. 2: wrong usage or an invalid configuration.
    """
    is_closed = _open_standard_descriptors()
    try:
        arguments = _arguments(argv)
        if is_closed and arguments.run is _serve:
            _drop_output()  # nobody waits for the line that says where the hub listens
        os.umask(0o077)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()  # the reader closed the pipe
        return 0
    except RhetorError as error:
        from rhetor.hub_client import NoHub

        sys.stderr.write(f"rhetor: {error.detail}\n")
        # a hub that another one has taken over is started again, to begin anew
        return 1 if isinstance(error, NoHub | FenceLost) else WRONG_USAGE
    except Exception as error:  # noqa: BLE001  # a bug, or a full disk: a sentence, and no traceback
        _drop_output()
        sys.stderr.write(f"rhetor: {_reason(error)}\n")
        return 1
    return status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        return _parser().parse_args(argv)
    except SystemExit:  # after --help and --version; what they print may not be writable
        sys.stdout.flush()
        raise


def _open_standard_descriptors() -> bool:
    """Open `/dev/null` as each of the descriptors 0 to 2 that is closed, and return whether stdout was.

    Otherwise a file or socket of the hub would get its number, and log messages would be written there. A
    closed stdout cannot be written then, so that no output is lost without a word.
    """
    is_closed = False
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            is_closed = is_closed or number == 1
            mode = os.O_RDONLY if number == 1 else os.O_RDWR
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115  # Python sets closed ones to None
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    return is_closed


def _drop_output() -> None:
    """Let what is still to be written to stdout disappear, so that the end of the process does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return f"unexpected error ({type(error).__name__}: {' '.join(str(error).split())})"


class _Version(argparse.Action):
    """Reads the version only if it is to be printed, because reading it takes 30 ms."""

    def __init__(self, **given: Any) -> None:
        super().__init__(nargs=0, **given)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"rhetor {version('tekton-aish')}\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "rhetor", description="The hub behind aish. A shell starts it by itself if none is running."
    )
    parser.add_argument("-V", "--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    serve, token = _add_serve(commands), _add_token(commands)
    issued = add_token_commands(token, _home)
    reload = commands.add_parser("reload", help="make the running hub read its configuration again")
    reload.set_defaults(run=_reload)
    create = _add_cert_create(commands)
    configs = add_config_commands(commands, _home, _file)
    doctor = commands.add_parser("doctor", help="check which tools are installed, work and are logged in")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)
    console = commands.add_parser("console", help="open the web console in the browser, logged in")
    console.add_argument("--print", action="store_true", help="print the link instead of opening it")
    console.set_defaults(run=_console)
    mcp = commands.add_parser(
        "mcp", help="serve MCP on standard input and output, for an agent that starts this command"
    )
    mcp.set_defaults(run=_mcp)
    join = add_join(commands)
    configured = [serve, reload, token, *configs, doctor, mcp, join]
    others = [
        create,
        console,
        *add_machine_commands(commands, _home),
        *key_commands.add_to(commands, _home, rotate_signing),
        *add_to(commands),
        *audit_commands.add_to(commands),
    ]
    for command in (*configured, *others):
        command.add_argument("--home", type=Path, help=HOME_HELP)
    for command in issued:  # the option may also stand before the word
        command.add_argument("--home", type=Path, default=argparse.SUPPRESS, help=HOME_HELP)
    for command in configured:
        command.add_argument(
            "--config", type=Path, help="configuration file (default: config.yaml in the state folder)"
        )
    return parser


def _add_serve(commands: Commands) -> argparse.ArgumentParser:
    serve = commands.add_parser("serve", help="run the hub in the foreground")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="TCP port (default: 8300); 0 chooses a free one")
    serve.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="certificate (PEM, with its chain): TCP has TLS"
    )
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="key of the certificate (PEM, mode 0600)")
    serve.add_argument(
        "--auto", action="store_true", help=argparse.SUPPRESS
    )  # set by a shell that starts the hub
    serve.set_defaults(run=_serve)
    return serve


def _add_token(commands: Commands) -> argparse.ArgumentParser:
    token = commands.add_parser("token", help="print the token for connections over TCP")
    token.add_argument(
        "--rotate",
        action="store_true",
        help="replace the token first; a running hub uses the new one at once",
    )
    token.set_defaults(run=_token)
    return token


def _add_cert_create(commands: Commands) -> argparse.ArgumentParser:
    cert = commands.add_parser("cert", help="create a certificate for a home network")
    certs = cert.add_subparsers(required=True, metavar="COMMAND", title="commands")
    create = certs.add_parser("create", help="create a small CA, and a certificate of it for the hub")
    create.add_argument(
        "names", nargs="*", metavar="NAME", help="host name or address (default: those of this machine)"
    )
    create.add_argument("--replace", action="store_true", help="replace the hub's certificate")
    create.add_argument("--new-ca", action="store_true", help="replace the CA, too")
    create.set_defaults(run=_cert_create)
    return create


def _home(arguments: argparse.Namespace) -> Home:
    home = Home(arguments.home.absolute() if arguments.home else state_home(os.environ), os.environ)
    home.prepare()
    return home


def _file(arguments: argparse.Namespace, folder: Path) -> Path:
    """Return the path of the configuration file.

    Raises:
        InvalidSettings: the file of `--config` does not exist.
    """
    from rhetor.errors import InvalidSettings

    file: Path | None = arguments.config
    if file is not None and not file.exists():
        raise InvalidSettings(f"--config: {file} does not exist")
    return file or folder / "config.yaml"


def _serve(arguments: argparse.Namespace) -> int:
    gc.disable()  # until everything is imported: collections take a fifth of that time and free nothing
    home = _home(arguments)
    try:
        home.lock()
    except HomeTaken:
        return _wait_for_other(home) if arguments.auto else _say_taken(home)
    try:
        finish(home.folder)
        _run(arguments, home)
    finally:
        home.release()
    return 0


def _run(arguments: argparse.Namespace, home: Home) -> None:
    from rhetor import logs
    from rhetor.cores import forbid_cores
    from rhetor.domain.secrets import Secrets, secret_values
    from rhetor.settings import SQLITE, Source

    secrets = Secrets(secret_values(os.environ))
    logs.start(secrets, home.folder / "hub.log")
    file = _file(arguments, home.folder)
    files = {"tls_cert": arguments.tls_cert, "tls_key": arguments.tls_key}
    flags = {"host": arguments.host, "port": arguments.port}
    flags |= {key: str(path.absolute()) for key, path in files.items() if path}
    source = Source(file, flags)
    settings = source.read()  # before the hub is imported, so that an invalid configuration fails at once
    if settings.store == SQLITE:
        from rhetor.maintenance.moved import require_here

        require_here(home.folder)
    if settings.encryption.at_rest:
        logs.start(secrets, home.folder / "hub.log", quotes=False)
        forbid_cores()
        _forget_quotes(home.folder)
    import asyncio

    import uvloop

    from rhetor.app import Start
    from rhetor.auth.process_tree import mark_own_process
    from rhetor.serving import serve

    mark = mark_own_process(home.folder)
    start = Start(
        settings,
        source,
        home,
        dict(os.environ),
        by_itself=arguments.auto,
        mark=mark,
        secrets=secrets,
    )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(start))
    except KeyboardInterrupt:
        pass
    except RhetorError:
        raise
    except Exception as error:  # logged here, and reported by `main`
        logging.getLogger(__name__).exception("the hub failed")
        if settings.encryption.at_rest:  # the message of the error may quote what was said
            raise RhetorError(f"unexpected error ({type(error).__name__})") from None
        raise


def _forget_quotes(folder: Path) -> None:
    """Remove the logs of the time before encryption was switched on, which may quote what was said."""
    from rhetor import logs
    from rhetor.store.prompt_history import SEALED

    if not (folder / SEALED).exists():
        for name in ("hub.log", "aish.log"):
            logs.forget(folder / name)


def _say_taken(home: Home) -> int:
    with contextlib.suppress(OSError):  # the file may have been removed
        pid = (home.folder / "hub.pid").read_text().strip()
        sys.stderr.write(f"rhetor: a hub (pid {pid}) is already running in {home.folder}\n")
        return WRONG_USAGE
    sys.stderr.write(f"rhetor: a hub is already running in {home.folder}\n")
    return WRONG_USAGE


def _wait_for_other(home: Home) -> int:
    """Wait until the hub that another shell started listens, and print the line that our shell waits for.

    If that hub does not listen in time, report that the folder is in use.
    """
    deadline = time.monotonic() + OTHER_HUB_SECONDS
    while time.monotonic() < deadline:
        if accepts_connections(home.socket):
            sys.stdout.write(f"rhetor listening on unix:{home.socket}\n")
            return 0
        time.sleep(0.02)
    return _say_taken(home)


def _token(arguments: argparse.Namespace) -> int:
    from rhetor.auth.process_tree import reject_programs
    from rhetor.auth.tokens import load_token, rotate_token

    reject_programs(_home(arguments).folder)
    read = rotate_token if arguments.rotate else load_token
    sys.stdout.write(read(_home(arguments).folder / "token") + "\n")
    return 0


def _cert_create(arguments: argparse.Namespace) -> int:
    import socket

    from rhetor.auth.process_tree import reject_programs
    from rhetor.certificates import Files, create, names_in, own_addresses
    from rhetor.errors import InvalidSettings

    folder = _home(arguments).folder
    reject_programs(folder)
    files = Files(folder / "tls")
    if files.certificate.exists() and not (arguments.replace or arguments.new_ca):
        raise InvalidSettings(f"{files.certificate} exists; `--replace` replaces it and keeps the CA")
    verb, host = "created", socket.gethostname().partition(".")[0].lower()
    names = arguments.names or [f"{host}.local", host, *own_addresses()]
    if files.certificate.exists():
        verb, names = "replaced", arguments.names or names_in(files.certificate)
    made = create(files, names, new_authority=arguments.new_ca)
    sys.stdout.write(
        f"{'created' if made.is_new else 'kept'} {files.authority}: the CA; install it on each phone once\n"
        f"  SHA-256 {made.fingerprint}\n"
        f"{verb} {files.certificate}: for {', '.join(made.names)}, until {made.expires:%Y-%m-%d}\n"
        f"start: rhetor serve --host 0.0.0.0 --tls-cert {files.certificate} --tls-key {files.key}\n"
    )
    return 0


def _reload(arguments: argparse.Namespace) -> int:
    """Make the running hub reload its configuration. It reads the file with which it was started."""
    from rhetor.hub_client import ask

    answer = ask(_home(arguments).socket, "POST", "/api/v2/reload")
    changed, needs_restart = answer["changed"], answer["needs_restart"]
    sys.stdout.write(f"changed: {', '.join(changed)}\n" if changed else "no changes to apply\n")
    if needs_restart:
        sys.stdout.write(f"takes effect when the hub restarts: {', '.join(needs_restart)}\n")
    return 0


def _mcp(arguments: argparse.Namespace) -> int:
    from rhetor.mcp_stdio import run

    return run(_home(arguments))


def _console(arguments: argparse.Namespace) -> int:
    """Become `aish console`, which starts a hub if none is running."""
    words = ["--print"] if arguments.print else []
    environment = {**os.environ, "RHETOR_HOME": str(_home(arguments).folder)}
    os.execve(sys.executable, [sys.executable, "-m", "aish", "console", *words], environment)


def _doctor(arguments: argparse.Namespace) -> int:
    """Check the tools that a hub in this environment would have, and its certificate. This needs no hub and
    creates no file."""
    import asyncio
    import json

    from rhetor.settings import peers_of, read_settings, tools_of
    from rhetor.tool_catalog import ConfiguredPrograms
    from rhetor.transports.server.certificate import found_at

    folder = arguments.home.absolute() if arguments.home else state_home(os.environ)
    settings = read_settings(arguments.config or folder / "config.yaml")
    tools = tools_of(settings)
    peers = [peer for peer in peers_of(settings) if peer.name in tools]
    found = asyncio.run(ConfiguredPrograms(tools, os.environ).checked(peers))
    certificate = found_at(settings.hub.tls_cert, settings.hub.tls_key)
    if arguments.json:
        checked = {"tools": found, "certificate": certificate, "providers": list(settings.providers)}
        sys.stdout.write(json.dumps(checked) + "\n")
        return 0
    if certificate is not None:
        sys.stdout.write(f"certificate: {_about(certificate)}\n")
    for each in found:
        version = f"{each['health']['version']} " if each["health"]["version"] else ""
        place = each["path"] or f"not installed; {each['how_to_install'] or 'put it on the PATH'}"
        login = f"; logged in: {each['login']['known']} ({each['login']['how']})" if each["path"] else ""
        sys.stdout.write(f"{each['name']}: {version}{place}{login}\n")
    return 0


def _about(certificate: dict[str, Any]) -> str:
    state, day = certificate["state"], (certificate["expires"] or "")[:10]
    if state == "invalid":
        return str(certificate["detail"])
    said = {"expired": "expired on", "expires_soon": "expires on", "valid": "valid until"}[state]
    return f"{said} {day}" + ("" if state == "valid" else "; to renew it, run: rhetor cert create --replace")
