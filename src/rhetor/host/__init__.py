"""The host: one small process for each program. It owns the program's PTY or pipes and outlives the hub.

Nothing imports this package: a hub runs `__main__.py` as a file, and both use `rhetor.codec.host_frames`. It
imports only modules of the standard library that need little memory: an idle host stays under 12 MB.
"""
