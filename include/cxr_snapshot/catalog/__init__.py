"""What is published: lists, comparisons, downloads, and the removal of what is no longer wanted.

In: names of snapshots. Out: facts about them, copies of them. May use ``publication`` and the rooms before it.
"""
