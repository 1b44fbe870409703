"""Runs one command and never lets it outlive the process that asked for it.

``python guard.py GRACE COMMAND...`` starts COMMAND in a session of its own and waits. When COMMAND ends, its
exit status is ours. When our standard input closes, COMMAND is interrupted as by Ctrl-C and, GRACE seconds later,
whatever is left of its session is killed. The kernel closes that input however the other end dies, even by SIGKILL.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path


def session_members(session: int) -> list[int]:
    """Return the ids of the living processes of a session, children that changed their group or parent included."""
    if Path("/proc/self").exists():
        names = [entry.name for entry in Path("/proc").iterdir()]
    else:
        names = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=True).stdout.split()
    members = []
    for name in filter(str.isdigit, names):
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(int(name)) == session:
                members.append(int(name))
    return sorted(members)


def guard(command: list[str], grace: float) -> int:
    """Run ``command`` until it ends or standard input closes.

    Args:
        command: program and arguments.
        grace: seconds between the interrupt and the kill.

    Returns:
        The exit status; 128 + N where signal N ended the command.
    """
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_stop_at_end_of_input, args=(child, grace), daemon=True).start()
    status = child.wait()
    for member in session_members(child.pid):
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _stop_at_end_of_input(child: subprocess.Popen[bytes], grace: float) -> None:
    while os.read(0, 4096):
        pass
    child.send_signal(signal.SIGINT)
    try:
        child.wait(grace)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(guard(sys.argv[2:], float(sys.argv[1])))
