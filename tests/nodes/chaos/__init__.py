"""Many clients of several nodes, while nodes, the database and their connections fail.

Clients do what the documentation asks of them: they send with idempotency keys, and continue at another node
with their cursor. What they have seen is compared with the database, which is read without the product.
"""
