"""Perceptual hashes in tests."""

from __future__ import annotations


def distance(one: str, other: str) -> int:
    """Return in how many bits two hashes differ, both in hex."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
