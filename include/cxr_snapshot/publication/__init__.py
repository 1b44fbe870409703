"""The stages ``publish`` and ``verify``: everything that a snapshot holds, and how it becomes public as a whole.

In: the balanced ledger and what the audit wrote. Out: a dated folder that changes only where something is taken back,
and ``latest.json``. May use ``audit`` and the rooms before it.
"""
