"""Programs that are peers: wrapped by a host, and what their output says."""
