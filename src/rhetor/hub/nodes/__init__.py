"""Several hubs on one database: whose each command is, and how the others ask its node to execute it."""
