"""The host: one small process for each program. It owns the program's PTY or pipes and outlives the hub.

No other package imports this one: the hub runs `__main__.py` as a file, and both sides use
`rhetor.codec.host_frames`. An idle host must stay under 12 MB, so this package imports only modules of the
standard library that need little memory.
"""
