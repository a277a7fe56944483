"""What help, the man page and completion say of the commands: one source, as data, and what follows from it.

Each module beside this one has the pages of related commands. The commands' own modules name pages in their
usage errors.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from aish.catalogue.page import Page

SAME_COMMANDS = {"session": "sessions"}  # other names of commands


def chapters() -> "dict[str, ModuleType]":
    """Return the modules with the pages, by their name, in the order in which help shows them."""
    from aish.catalogue import (
        configuration,
        conversations,
        forwarding,
        hub,
        peers,
        programs,
        projects,
        schedules,
    )

    return {
        "peers": peers,
        "hub": hub,
        "configuration": configuration,
        "programs": programs,
        "conversations": conversations,
        "forwarding": forwarding,
        "projects": projects,
        "schedules": schedules,
    }


def pages() -> "dict[str, Page]":
    """Return all pages by their name: `sessions`, `sessions fork`."""
    return {page.name: page for chapter in chapters().values() for page in chapter.PAGES}


def pages_of(name: str) -> "list[Page]":
    """Return the page of a command and those of its subcommands, or the page of a subcommand."""
    words = name.split()
    name = " ".join([SAME_COMMANDS.get(words[0], words[0]), *words[1:]])
    return [page for page in pages().values() if page.name == name or page.name.startswith(f"{name} ")]


def pages_for(words: "Sequence[str]") -> "list[Page]":
    """Return the page of the subcommand with which a command line begins; or all pages of its command; or
    none, if the first word is no command."""
    known = pages()
    command = SAME_COMMANDS.get(words[0], words[0])
    subcommand = " ".join([command, *words[1:2]])
    if len(words) > 1 and subcommand in known:
        return [known[subcommand]]
    return [page for name, page in known.items() if name.split()[0] == command]


def usage_lines(name: str) -> "list[str]":
    """Return the usage lines of a command and its subcommands, or of a subcommand, without `aish`."""
    return [form for page in pages_of(name) for form in page.forms]
