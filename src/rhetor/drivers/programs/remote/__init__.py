"""Programs on other machines: the link to a machine that has joined, and the hosts that are reached by it."""
