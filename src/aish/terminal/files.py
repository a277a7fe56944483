"""Files, folders, programs and variables as candidates: what this machine has, beside what the hub knows."""

# ruff: noqa: PTH111, PTH113, PTH116, PTH118
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FOUND = 200


def paths(stem: str, *, folders_only: bool = False) -> "list[str]":
    """Return the paths that begin with the stem, in order, at most `MAX_FOUND`. A folder ends with `/`.
    Hidden files are returned only if the stem asks for them."""
    head, name = os.path.split(stem)
    head = stem[: len(stem) - len(name)]  # with its slash
    found = []
    for entry in _entries(os.path.expanduser(head) or "."):
        if not entry.name.startswith(name) or (entry.name[:1] == "." and name[:1] != "."):
            continue
        is_folder = _is_folder(entry)
        if is_folder or not folders_only:
            found.append(f"{head}{entry.name}{'/' if is_folder else ''}")
    return sorted(found)[:MAX_FOUND]


def variables(begin: str) -> "list[str]":
    """Return the names of the environment variables that begin so."""
    return sorted(name for name in os.environ if name.startswith(begin))


class Programs:
    """The programs on the PATH. A folder is read again only if it has changed."""

    def __init__(self) -> None:
        self._folders: dict[str, tuple[int, list[str]]] = {}

    def names(self, begin: str) -> "list[str]":
        """Return the names of the programs that begin so, at most `MAX_FOUND`."""
        found: set[str] = set()
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
            for name in self._files(folder or "."):
                if name.startswith(begin) and name not in found and _is_program(os.path.join(folder, name)):
                    found.add(name)
        return sorted(found)[:MAX_FOUND]

    def _files(self, folder: str) -> "list[str]":
        try:
            changed = os.stat(folder).st_mtime_ns
        except OSError:
            return []
        known = self._folders.get(folder)
        if known is None or known[0] != changed:
            known = self._folders[folder] = changed, [entry.name for entry in _entries(folder)]
        return known[1]


def _entries(folder: str) -> "Iterator[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_program(path: str) -> bool:
    return os.access(path, os.X_OK) and os.path.isfile(path)
