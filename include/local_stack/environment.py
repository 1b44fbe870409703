"""Which store and which upstream a run uses, as environment variables. Pure functions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from cxr_snapshot.shown import without_login
from local_stack.processes import StackError

LOCAL_BUCKET = "cxr-snapshots"
SAMPLE_PREFIX = "covid-cxr-sample"


def uses_local_store(environ: Mapping[str, str], *, has_keys: Callable[[], bool]) -> bool:
    """Say whether the store is the local one: it is, unless a bucket is named.

    Args:
        environ: the environment.
        has_keys: says whether boto3 finds keys, in variables, profiles or wherever it looks.

    Raises:
        StackError: a bucket without keys, an endpoint without a bucket or with a password, or a connection, which only
            a deployed Airflow uses.
    """
    if environ.get("AIRFLOW_CONN_CXR_S3"):
        raise StackError(
            "AIRFLOW_CONN_CXR_S3 is set. On this machine, name the store by CXR_BUCKET and boto3's own variables "
            "(AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, ...) instead, and unset AIRFLOW_CONN_CXR_S3."
        )
    address = endpoint(environ)
    if address and "@" in address:
        raise StackError(
            f"The address of the S3 store at {without_login(address)} holds a user or a password. Take it out of "
            "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL; keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if bucket := environ.get("CXR_BUCKET"):
        if has_keys():
            return False
        raise StackError(
            f"CXR_BUCKET names the bucket {bucket}, but boto3 finds no keys for a store. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL_S3 unless it is Amazon's; or unset CXR_BUCKET "
            "to use the local store."
        )
    if address:
        raise StackError(
            f"The environment names the S3 store {address}, but no bucket. Set CXR_BUCKET to the bucket to use, "
            "or unset AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL to use the local store."
        )
    return True


def boto3_finds_keys() -> bool:
    """Say whether boto3 finds keys as this process would use them."""
    import boto3

    return boto3.Session().get_credentials() is not None


def endpoint(environ: Mapping[str, str]) -> str | None:
    """Return the address of the S3 store as boto3 finds it, or ``None`` for Amazon's own."""
    return environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None


def with_basics(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """Return ``environ`` with the import path, the environment's programs, and no proxy for loopback.

    Args:
        environ: the environment.
        root: the checkout.
    """
    result = dict(environ)
    result["PYTHONPATH"] = str(root / "include")
    result["PATH"] = os.pathsep.join([str(root / ".local/venv/bin"), environ.get("PATH", os.defpath)])
    for name in ("NO_PROXY", "no_proxy"):
        result[name] = ",".join(filter(None, [environ.get(name), "127.0.0.1", "localhost"]))
    result.setdefault("CXR_SCRATCH_DIR", str(root / ".local/scratch"))
    return result


def local_keys(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which boto3 finds the keys of the local store.

    Args:
        secrets: what :func:`local_stack.airflow_home.load_secrets` returned.
    """
    keys = {"AWS_ACCESS_KEY_ID": secrets["store_key"], "AWS_SECRET_ACCESS_KEY": secrets["store_secret"]}
    return keys | {"AWS_DEFAULT_REGION": "us-east-1"}


def reader(address: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which any S3 tool reads the local store at ``address``: what `make ui` prints."""
    return {"AWS_ENDPOINT_URL_S3": address, **local_keys(secrets)}


def assignments(variables: Mapping[str, str]) -> str:
    """Return variables as a shell takes them after ``export``."""
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())


def with_local_store(environ: Mapping[str, str], address: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the local store at ``address`` and its ``keys``, and nothing left that names another."""
    others = ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
    result = {name: value for name, value in environ.items() if name not in others}
    result["CXR_BUCKET"] = LOCAL_BUCKET
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**result, **keys} | files | {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": address}


def with_prefix(environ: Mapping[str, str], upstream: str) -> dict[str, str]:
    """Return ``environ`` with a prefix of its own for what the upstream ``sample`` gives, unless one is named."""
    result = dict(environ)
    if upstream == "sample" and not result.get("CXR_PREFIX"):
        result["CXR_PREFIX"] = SAMPLE_PREFIX
    return result


def with_sample(environ: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with the simulator's ``settings`` in it, and no credentials of the real upstreams."""
    credentials = ("GITHUB_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN")
    connections = ("AIRFLOW_CONN_CXR_GITHUB", "AIRFLOW_CONN_CXR_KAGGLE")
    result = {name: value for name, value in environ.items() if name not in (*credentials, *connections)}
    return result | {f"CXR_{name.upper()}": value for name, value in settings.items()}
