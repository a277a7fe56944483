"""Runs programs that are peers, each under a host, and interprets their output."""
