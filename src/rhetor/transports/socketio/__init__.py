"""Socket.IO: sessions over long polling and WebSockets, and the hub's events in them.

`connection` and `endpoint` know Engine.IO only, `client` adds Socket.IO, and `hub_client` adds the hub.
"""
