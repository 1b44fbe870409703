"""Runs all cells of NOTEBOOK in its folder; writes it with its outputs, without times, to TARGET or over itself."""

import sys
from pathlib import Path

import nbclient
import nbformat

notebook, *others = map(Path, sys.argv[1:])
content = nbformat.read(notebook, as_version=4)
options = {"resources": {"metadata": {"path": str(notebook.parent)}}, "record_timing": False}
# Else what a cell prints is one output or several, by how busy the machine is.
nbclient.NotebookClient(content, kernel_name="python3", coalesce_streams=True, **options).execute()
content.metadata["language_info"] = {"name": "python"}
nbformat.write(content, *(others or [notebook]))
print('"executed"')
