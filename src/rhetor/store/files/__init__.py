"""Snapshots of folders: content-addressed, compressed, and restored so that an interruption loses nothing."""
