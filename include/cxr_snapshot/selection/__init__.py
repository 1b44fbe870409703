"""The stages ``filter`` and ``balance``: which images are in a snapshot, and why the others are not.

In: records and inspections. Out: the ledger, in which every record is in or excluded by a rule, and the manifest
that is made of it. A table in, a table out. May use ``inspection`` and the rooms before it.
"""
