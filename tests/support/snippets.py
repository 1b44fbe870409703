"""Blocks of code in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences: its language, empty where none is named, and its lines."""

    language: str
    code: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.code.partition("\n")[0]


def blocks(markdown: str) -> list[Block]:
    """Return the blocks of code of a page, in its order."""
    found = [Block(language, code) for language, code in _FENCED.findall(markdown)]
    assert 2 * len(found) == len(re.findall("^ *```", markdown, re.MULTILINE)), "a block that is not seen"
    return found
