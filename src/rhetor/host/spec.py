"""What a host is asked to run, decoded from the bytes on its stdin."""

from __future__ import annotations

from rhetor.codec import host_frames as frames


class Spec:
    """The program, its place, and the limits; the words as bytes, as the kernel takes them."""

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            ValueError: the bytes are not a valid spec.
        """
        fields = frames.unpack_fields(data)
        facts = {name: value.decode() for name, value in fields if name not in ("arg", "env", "cwd")}
        try:
            self.argv = [value for name, value in fields if name == "arg"]
            pairs = [value.partition(b"=") for name, value in fields if name == "env"]
            self.env = {name: value for name, _, value in pairs}
            self.cwd = dict(fields)["cwd"]
            self.terminal = facts["mode"] == "pty"
            self.rows, self.cols = int(facts["rows"]), int(facts["cols"])
            self.alone_seconds = float(facts["alone"])
            self.spool_limit = int(facts["spool_limit"])
            self.keep_bytes = int(facts["keep_bytes"])
            self.segment_bytes = int(facts["segment_bytes"])
            self.folder = facts["folder"]
            self.socket = facts["socket"]
            self.nonce = bytes.fromhex(facts["nonce"])
        except KeyError as error:
            raise ValueError(f"a spec without {error}") from None
        if not self.argv:
            raise ValueError("a spec without a program")
