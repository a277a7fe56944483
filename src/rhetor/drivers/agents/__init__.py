"""Coding agents as peers: their protocols, and the programs that speak them."""
