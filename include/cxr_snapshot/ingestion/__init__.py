"""The stage ``ingest``: every file of a revision into the store, once.

In: sources and pinned revisions. Out: blobs named by their SHA-256, an inventory of each revision, and the records
of all of them. May use ``sources`` and ``store``.
"""
