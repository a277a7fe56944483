"""Dialects turn clients' frames into commands, and the log's records into frames. They are pure: no I/O.

A dialect knows nothing of the store but `store.base.Record`. It reads these fields of a record:

- `stream`, `epoch`, `seq`, `at`, `type`, `turn_id`, `step`, `position` and `prev`, which need no decoding;
- `data`, the payload as JSON, to pass it on unchanged;
- `event`, the decoded event, which is decoded on first use and then kept.

It writes to one field: `frames`, the encoded frames by name. A name consists of the dialect's name and
everything else that the bytes depend on. A frame is encoded once per record and name, and all subscribers
share it. Binary content, and a frame that only one reader needs, are not stored there.
"""
