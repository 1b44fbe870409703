"""What is published: lists, comparisons, downloads, the removal of what is no longer wanted, and withdrawal.

In: names of snapshots. Out: facts about them, copies of them. May use ``publication`` and the rooms before it.
"""
