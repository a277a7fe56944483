"""Dialects turn clients' frames into commands, and the log's records into frames. They are pure: no I/O.

Of the store, a dialect sees `store.base.Record` and nothing else. It reads these fields of a record:

- `stream`, `epoch`, `seq`, `at`, `type`, `turn_id`, `step`, `position` and `prev`, which need no decoding;
- `data`, the payload as JSON, to pass it on unchanged;
- `event`, the decoded event, which is decoded on first use and then kept.

It adds to one field: `frames`, the encoded frames by name. The name is the dialect's, with everything else
on which the bytes depend. A frame is encoded once per record and name, and all subscribers share it. A frame
that only one reader needs, and binary content, are not put there.
"""
