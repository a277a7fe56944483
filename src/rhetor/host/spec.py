"""Decodes what a host is to run, and with which limits, from the bytes on its stdin."""

from __future__ import annotations

from rhetor.codec import host_frames as frames


class Spec:
    """The program to run, and the limits of its host. `argv`, `env` and `cwd` are bytes, as for the kernel.
    `secrets` are masked in the spool. `seal_key`: seals the spool; empty if it stays plain. `library`: the
    folder with the package that does so.

    `alone_seconds`: how long the host keeps the program without a connected hub. For the other limits, see
    `Limits` on the hub's side.
    """

    def __init__(self, data: bytes) -> None:
        """Decode the bytes that `request` on the hub's side encoded.

        Raises:
            ValueError: the bytes are not a valid spec.
        """
        fields = frames.unpack_fields(data)
        facts = {
            name: value.decode() for name, value in fields if name not in ("arg", "env", "cwd", "secret")
        }
        try:
            self.argv = [value for name, value in fields if name == "arg"]
            pairs = [value.partition(b"=") for name, value in fields if name == "env"]
            self.env = {name: value for name, _, value in pairs}
            self.cwd = dict(fields)["cwd"]
            self.secrets = [value for name, value in fields if name == "secret"]
            self.terminal = facts["mode"] == "pty"
            self.rows, self.cols = int(facts["rows"]), int(facts["cols"])
            self.alone_seconds = float(facts["alone"])
            self.spool_limit = int(facts["spool_limit"])
            self.keep_bytes = int(facts["keep_bytes"])
            self.segment_bytes = int(facts["segment_bytes"])
            self.folder = facts["folder"]
            self.socket = facts["socket"]
            self.nonce = bytes.fromhex(facts["nonce"])
            self.seal_key = bytes.fromhex(facts.get("seal_key", ""))
            self.library = facts.get("library", "")
        except KeyError as error:
            raise ValueError(f"the spec has no {error}") from None
        if not self.argv:
            raise ValueError("the spec has no program")
