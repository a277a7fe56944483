"""The aliases of the user: lines that have a name."""

from aish.client.hub import Hub


def aliases(hub: Hub) -> "dict[str, str]":
    """Return the lines of all aliases of the user, by name.

    Raises:
        Failure: the hub cannot be reached.
    """
    return {str(each["name"]): str(each["command"]) for each in hub.ask("GET", "/api/v2/aliases")["aliases"]}
