"""How another device opens the console: at which of the hub's names, and why it cannot."""

from __future__ import annotations

from rhetor.auth.addresses import Addresses
from rhetor.auth.tcp_clients import is_of_this_machine
from rhetor.codec.typed_json import unprocessable
from rhetor.errors import NotOnNetwork
from rhetor.transports.server.certificate import Certificate, described

EXPIRED = "expired"
SETTINGS = {
    "hub.host": "hub.host is an address that only this machine can reach",
    "hub.tls_cert": "hub.tls_cert is not set",
    "hub.tls_key": "hub.tls_key is not set",
}


def name_for_network(addresses: Addresses, certificate: Certificate | None, wanted: str | None) -> str:
    """Return the name at which another device opens the console: the one that is `wanted`, else an address of
    this machine, because not every network finds names, else the first name of the certificate.

    Raises:
        NotOnNetwork: no other device can open it.
        Unprocessable: the hub does not have the wanted name.
    """
    _require_network(addresses, certificate)
    names = addresses.network_names
    if wanted is not None:
        name = wanted.lower()
        name = f"[{name}]" if ":" in name and not name.startswith("[") else name
        if name not in names:
            raise unprocessable("body.host", f"must be a name of the certificate: {', '.join(names)}")
        return name
    own = (name for name in names if _is_address(name) and is_of_this_machine(name.strip("[]")))
    return next(own, names[0])


def _require_network(addresses: Addresses, certificate: Certificate | None) -> None:
    missing = [] if addresses.is_for_network else ["hub.host"]
    missing += [] if certificate is not None else ["hub.tls_cert", "hub.tls_key"]
    if missing:
        if certificate is None:
            hint = f"run `rhetor cert create`, set {', '.join(missing)}, and start the hub again"
        else:
            hint = "set hub.host: 0.0.0.0, and start the hub again"
        raise NotOnNetwork("; ".join(SETTINGS[each] for each in missing), missing, hint)
    assert certificate is not None
    if described(certificate.expires)["state"] == EXPIRED:
        raise NotOnNetwork(
            "the certificate has expired", ["hub.tls_cert"], "run: rhetor cert create --replace"
        )
    if not addresses.network_names:
        why = "the certificate has only names of this machine for itself"
        hint = "run `rhetor cert create --replace NAME…` with the names and addresses in your network"
        raise NotOnNetwork(why, ["hub.tls_cert"], hint)


def _is_address(name: str) -> bool:
    return name.startswith("[") or name.replace(".", "").isdigit()
