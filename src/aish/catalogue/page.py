"""A page of the catalogue: what help, the man page and completion say of one command or subcommand."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from aish.catalogue.notation import Option

_COMMON_OPTIONS = {"--json": "print JSON"}


class Page:
    """The page of one command, such as `sessions`, or of one subcommand, such as `sessions fork`.

    `purpose` is a sentence that fits in a list. `forms` are the usage lines without `aish`, in the notation
    of `aish.catalogue.notation`. `options` says what each option of the forms does, by one of its names.
    `examples` are two command lines, each with what it does. `details` is more text for the page.
    """

    __slots__ = ("details", "examples", "forms", "name", "options", "purpose")

    def __init__(
        self,
        name: str,
        purpose: str,
        *forms: str,
        options: "Mapping[str, str] | None" = None,
        examples: "Mapping[str, str]",
        details: str = "",
    ) -> None:
        self.name = name
        self.purpose = purpose
        self.forms = forms
        self.options = options or {}
        self.examples = examples
        self.details = details

    def purpose_of(self, option: "Option") -> str:
        """Return what an option of one of the forms does."""
        for name in option.names:
            if purpose := self.options.get(name) or _COMMON_OPTIONS.get(name):
                return purpose
        raise LookupError(f"the page {self.name} does not say what {option} does")
