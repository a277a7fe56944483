"""Sockets, HTTP and WebSocket protocols, the gate, the router and event streams, on uvicorn.

uvicorn is pinned to one minor version, because this package uses undocumented parts of it:

- `HttpToolsProtocol` and its `cycle`, `flow` and `pipeline`, in `http_protocol`: uvicorn limits neither the
  size of a head, of trailers and of a pipeline nor how long a client may take, answers an invalid request
  with plain text, and waits for a slow client forever. If they change, `tests/hostile/test_framing.py`,
  `tests/hostile/test_holding_on.py` and `server/test_disconnect.py` fail.
- `handle_websocket_upgrade` and `ws_protocol_class`, in `server`: the WebSocket library is loaded by the
  first client that needs it. If they change, `websocket/test_rpc.py` fails.
- `WebSocketsSansIOProtocol`, its connection and its buffers, in `websocket_protocol`: frames that are encoded
  once for many clients are written as they are, and the connection of a client that reads nothing is closed.
  If they change, `websocket/test_rpc.py`, `websocket/test_floods.py` and `server/test_disconnect.py` fail.
- `Server.startup`, `main_loop`, `on_tick`, `shutdown` and `capture_signals`, in `server`: the store is
  closed after the last connection, and the hub ends as soon as it is told to. If they change,
  `tests/e2e/test_life.py` and `server/test_lifetime.py` fail.

Test paths without `tests/` are relative to `tests/rhetor/transports/`.
"""
