from __future__ import annotations

import ast

from cxr_snapshot.publication.loading import how_to_load, snippets
from support.snippets import blocks

URI = "s3://bucket/covid-cxr/editions/adults/2026-11-03/"
WAYS = snippets(URI, "adults-2026-11-03", ["train", "test"])


def test_the_first_copies_the_snapshot_goes_there_and_checks_it():
    assert WAYS[0].code.splitlines() == [
        f"aws s3 sync {URI} covid-cxr-adults-2026-11-03",
        "cd covid-cxr-adults-2026-11-03",
        "sha256sum -c --quiet SHA256SUMS",
    ]


def test_all_others_are_python_and_name_the_packages_that_they_import():
    for way in WAYS[1:]:
        imports = [node for node in ast.walk(ast.parse(way.code)) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
        needed = {name.partition(".")[0] for name in names} - {"os", "pathlib"}
        brought = {"torch": "torchvision", "fsspec": "s3fs"}
        assert {brought.get(name, name) for name in needed} <= set(way.packages.split()), way.title


def test_the_last_reads_the_splits_that_there_are_from_the_store():
    assert 'snapshot = "s3://bucket/covid-cxr/editions/adults/2026-11-03"' in WAYS[-1].code
    assert '"train": f"{snapshot}/data/train-*.parquet"' in WAYS[-1].code
    assert "validation" not in WAYS[-1].code


def test_the_section_shows_each_as_it_is():
    section = how_to_load(URI, "adults-2026-11-03", ["train", "test"], webp=0)
    assert [block.code.rstrip("\n") for block in blocks(section)] == [way.code for way in WAYS]
    assert all(f"**{way.title}** (`pip install {way.packages}`)" in section for way in WAYS)
