"""A machine that has joined the hub is not connected, or cannot do what the request asks for."""

from __future__ import annotations

from collections.abc import Sequence

from .base import INVALID_PARAMS, LIMIT_REACHED, RhetorError
from .turns import TurnFailure


class MachineOffline(TurnFailure):
    """The peer runs on a machine that is not connected to the hub. Nothing was sent."""

    code, status, rpc = "machine_offline", 503, LIMIT_REACHED
    hint = (
        "check rhetor join there; with if_offline: queue (aish: --if-offline queue), a message waits for it"
    )

    def __init__(self, machine: str, why: str) -> None:
        super().__init__(f"{machine} is offline: {why}", retryable=True, machine=machine)


class DeliveryUnknown(TurnFailure):
    """The process that connects a machine was started again while something was being written to a program on
    it. It is not known whether the program received it."""

    code, status = "delivery_unknown", 502
    hint = "look at what the program does before you send the message again"

    def __init__(self, machine: str) -> None:
        super().__init__(
            f"rhetor join on {machine} was started again while the program was being written to",
            machine=machine,
        )


class AmbiguousPeer(RhetorError):
    """Several machines have a peer of this name."""

    code, status, rpc = "ambiguous_peer", 409, INVALID_PARAMS
    hint = "name the machine, too"

    def __init__(self, peer: str, names: Sequence[str]) -> None:
        super().__init__(f"{peer} is on several machines: {', '.join(names)}", peer=peer, names=list(names))


class OnOtherMachine(RhetorError):
    """The request is about files or programs of this machine, and the peer is on another one; or the other
    way round."""

    code, status, rpc = "on_other_machine", 422, INVALID_PARAMS

    def __init__(self, detail: str, *, machine: str, hint: str = "") -> None:
        super().__init__(detail, machine=machine, **({"hint": hint} if hint else {}))


class MachineTaken(RhetorError):
    """Another machine has joined with this name."""

    code, status, rpc, close = "machine_taken", 409, INVALID_PARAMS, 4009
    hint = "give this one a token with another name, or remove the other one: rhetor machines remove NAME"

    def __init__(self, machine: str) -> None:
        super().__init__(f"another machine has joined as {machine}", machine=machine)
