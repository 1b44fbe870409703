"""Writes ``.env`` for docker-compose.yaml: ``.env.example`` with a random value for each empty one."""

from __future__ import annotations

import base64
import re
import secrets
import sys
from pathlib import Path

from local_stack.airflow_home import write_private

ROOT = Path(__file__).parents[2]


def fill(example: str) -> str:
    """Return the text of an environment file with a random value, of at least 128 bits, behind every bare ``NAME=``."""
    return re.sub(r"^(\w+)=$", lambda line: f"{line[1]}={_random(line[1])}", example, flags=re.MULTILINE)


def _random(name: str) -> str:
    if name.endswith("FERNET_KEY"):
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    if name.endswith("JWT_SECRET"):  # HS512 wants 64 bytes
        return secrets.token_urlsafe(64)
    if name.endswith("ACCESS_KEY"):  # an id, which some tools want to be short and without signs
        return secrets.token_hex(16)
    return secrets.token_urlsafe(24)


def main(root: Path = ROOT) -> None:
    """Write ``.env``, readable by its owner only; an existing one is kept."""
    file = root / ".env"
    if file.exists():
        sys.exit(f"{file} exists and is kept. The databases know its passwords: delete it only together with them.")
    write_private(file, fill((root / ".env.example").read_text()))
    print(f"Wrote {file}. The password of the user admin is AIRFLOW_ADMIN_PASSWORD in it.")


if __name__ == "__main__":
    main()
