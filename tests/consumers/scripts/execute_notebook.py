"""Runs all cells of NOTEBOOK in its folder, and writes it with its outputs to TARGET; without times and versions."""

import sys
from pathlib import Path

import nbclient
import nbformat

notebook, target = map(Path, sys.argv[1:])
content = nbformat.read(notebook, as_version=4)
resources = {"metadata": {"path": str(notebook.parent)}}
nbclient.NotebookClient(content, kernel_name="python3", record_timing=False, resources=resources).execute()
content.metadata["language_info"] = {"name": "python"}
nbformat.write(content, target)
print('"executed"')
