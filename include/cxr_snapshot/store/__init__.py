"""Object storage: objects, and the forms in which tables and facts are kept in them.

In: bytes, tables, plain data. Out: the same, by name. May use no other room.
"""
