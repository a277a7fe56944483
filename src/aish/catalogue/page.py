"""A page of the catalogue: what help, the man page and completion say of one command or subcommand."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


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
