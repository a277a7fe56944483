"""The host: one small process a wrapped program, that owns its PTY or pipes and outlives the hub.

Nobody imports it: a hub starts `__main__.py` as a file of its own, and both speak `rhetor.codec.host_frames`.
Standard library only, and of that only what costs little memory: an idle host stays under 12 MB.
"""
