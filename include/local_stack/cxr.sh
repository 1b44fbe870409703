#!/bin/sh
# The command line of the snapshots, from any folder; make copies this to .local/venv/bin/cxr.
bin=$(dirname "$(readlink -f "$0")")
PYTHONPATH=$bin/../../../include PYTHONUTF8=1 exec "$bin/python" -m local_stack cxr --upstream "${UPSTREAM:-sample}" "$@"
