"""Runs all cells of NOTEBOOK in its folder; writes it with its outputs, without times, to TARGET or over itself."""

import sys
from pathlib import Path

import nbclient
import nbformat

notebook, *others = map(Path, sys.argv[1:])
content = nbformat.read(notebook, as_version=4)
resources = {"metadata": {"path": str(notebook.parent)}}
nbclient.NotebookClient(content, kernel_name="python3", record_timing=False, resources=resources).execute()
content.metadata["language_info"] = {"name": "python"}
nbformat.write(content, *(others or [notebook]))
print('"executed"')
