"""`rhetor join`: connects this machine to a hub, which then uses its agents, programs and projects.

The machine decides what it offers and how each program is started. The hub asks for programs by their names.
"""
