"""What every REST handler takes: the principal, the node and the idempotency key."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header

from rhetor.domain.command import Principal
from rhetor.transports.server.node import Node, node
from rhetor.transports.server.router import principal

Who = Annotated[Principal, Depends(principal)]
Here = Annotated[Node, Depends(node)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
