"""The hub's state as a whole: backups, restores, checks and exports, whether the hub is running or not."""
