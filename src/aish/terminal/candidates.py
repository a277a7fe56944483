"""What Tab offers at a prompt."""

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Complete: TypeAlias = Callable[[str], Sequence["Candidate"]]


class Candidate(NamedTuple):
    """What could replace the last `replaces` characters before the cursor. `shown`: how the menu shows it;
    `end`: what follows it when it is chosen, such as a blank."""

    text: str
    shown: str
    description: str = ""
    replaces: int = 0
    end: str = " "
