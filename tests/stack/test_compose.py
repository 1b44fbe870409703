"""docker-compose.yaml, Dockerfile and .env.example: everything they name exists, and no secret has a usable default."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_spec import PyCompose
from cryptography.fernet import Fernet

from cxr_snapshot.settings import Settings
from local_stack import env_file
from support.paths import ROOT
from support.waiting import PATIENCE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TEXT = (ROOT / "docker-compose.yaml").read_text()
FILE = yaml.safe_load(TEXT)
EXAMPLE = (ROOT / ".env.example").read_text()
REQUIRED = re.findall(r"^(\w+)=$", EXAMPLE, flags=re.MULTILINE)
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}")


def resolve(node: Any, values: dict[str, str]) -> Any:
    """Fill in variables as Compose does, in the parsed file; ``KeyError`` for a required one that is missing."""

    def value(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        if name is None:
            return "$"
        return values.get(name) or default if kind == "-" else values[name]

    if isinstance(node, dict):
        return {key: resolve(item, values) for key, item in node.items()}
    if isinstance(node, list):
        return [resolve(item, values) for item in node]
    return VARIABLE.sub(value, node) if isinstance(node, str) else node


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services, with secrets as `make secrets` writes them."""
    values = dict(re.findall(r"^(\w+)=(.+)$", env_file.fill(EXAMPLE), flags=re.MULTILINE))
    return resolve(FILE, values)["services"]


NAMES = list(FILE["services"])
AIRFLOW = ["init", "api-server", "scheduler", "dag-processor", "triggerer", "worker-live", "worker-sample"]


def test_the_file_follows_the_compose_specification(services):
    values = dict.fromkeys(REQUIRED, "x")
    PyCompose.from_yaml(yaml.safe_dump(resolve(FILE, values))).to_spec()
    declared = set(FILE["volumes"])
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")
            assert source in declared or (ROOT / source).exists(), f"{name} mounts {source}"
            assert target.startswith("/")
        assert set(service.get("depends_on", {})) <= set(services), name


def test_every_variable_is_in_the_example_and_no_secret_has_a_default():
    used = {name: (kind, default) for name, kind, default in VARIABLE.findall(TEXT) if name}
    assert {name for name, (kind, _) in used.items() if kind == "?"} == set(REQUIRED)
    for name, (kind, default) in used.items():
        assert re.search(rf"^(# )?{name}=", EXAMPLE, flags=re.MULTILINE), f"{name} is not in .env.example"
        assert kind in ("?", "-"), f"{name} may be empty without a word"
        if re.search("PASSWORD|SECRET|KEY|TOKEN", name):
            assert kind == "?" or default == "", f"{name} has the default {default}"
    for name in REQUIRED:
        with pytest.raises(KeyError):
            resolve(FILE, dict.fromkeys(set(REQUIRED) - {name}, "x"))


def test_settings_are_passed_on_with_the_defaults_that_they_have(services):
    given = {name: text for name, text in services["scheduler"]["environment"].items() if name.startswith("CXR_")}
    assert given.keys() > {"CXR_SOURCES", "CXR_FILES", "CXR_PICTURE_SIZE"}
    assert Settings.load(environ=given) == Settings(given["CXR_BUCKET"])
    assert (given["CXR_SCHEDULE"], given["CXR_TIMEZONE"]) == ("0 3 * * *", "UTC")


def test_passwords_in_urls_need_no_quoting(services):
    environment = services["scheduler"]["environment"]
    for name in ("DATABASE__SQL_ALCHEMY_CONN", "CELERY__RESULT_BACKEND", "CELERY__BROKER_URL"):
        url = urlsplit(environment[f"AIRFLOW__{name}"].removeprefix("db+"))
        assert url.hostname in services
        assert re.fullmatch(r"[\w-]{20,}", url.password or "")


@pytest.mark.parametrize("name", NAMES)
def test_each_service_is_pinned_confined_and_watched(name, services):
    service = services[name]
    image, _, tag = service["image"].rpartition(":")
    assert image and (re.match(r"\d+\.\d+", tag) or tag == "local")
    dockerfile = (ROOT / "Dockerfile").read_text()
    user = service.get("user") or re.findall(r"^USER (\w+)$", dockerfile, flags=re.MULTILINE)[-1]
    assert user not in ("root", "0")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["pids_limit"] > 0
    assert "healthcheck" in service or name == "init", "init ends by itself"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", AIRFLOW)
def test_airflow_knows_each_command_and_each_option(name, services):
    from airflow.cli.cli_parser import get_parser
    from airflow.configuration import conf
    from airflow.providers_manager import ProvidersManager

    service = services[name]
    commands = [["airflow", *service["command"]]] if service["command"][0] != "bash" else []
    texts = [*service["command"], *service.get("healthcheck", {}).get("test", [])]
    commands += [shlex.split(found) for text in texts for found in re.findall(r"\bairflow [a-z][^&|]*", text)]
    assert commands
    for command in commands:
        assert callable(get_parser().parse_args(command[1:]).func), command

    ProvidersManager().initialize_providers_configuration()
    known = conf.configuration_description
    for variable in service["environment"]:
        if variable.startswith("AIRFLOW__"):
            _, section, option = variable.lower().split("__")
            assert option in known[section]["options"], variable


def test_the_workers_health_check_is_a_command_of_celery(services):
    from celery.bin.celery import celery
    from celery.worker.control import Panel

    for name in ("worker-live", "worker-sample"):
        words = shlex.split(services[name]["healthcheck"]["test"][1])
        assert words[:2] == ["celery", "--app"]
        module, app = words[2].rsplit(".", 1)
        assert hasattr(sys.modules.get(module) or __import__(module, fromlist=[app]), app)
        assert words[3:6] == ["inspect", "ping", "--destination"]
        assert "ping" in Panel.meta
        assert any("--destination" in option.opts for option in celery.commands["inspect"].params)


@pytest.mark.parametrize("name", AIRFLOW)
def test_the_settings_are_settings(name, services):
    environment = services[name]["environment"]
    settings = Settings.load(environ=environment)  # refuses a variable that is none
    assert settings.bucket == "cxr-snapshots"
    assert (settings.github_api_url == "https://api.github.com") == (name != "worker-sample")
    assert settings.github_token is None, "an empty variable is none"


@pytest.mark.parametrize(
    ("arguments", "prefix"),
    [
        (["UPSTREAM=sample"], "covid-cxr-sample"),
        (["UPSTREAM=sample", "CXR_PREFIX=mine"], "mine"),
        (["UPSTREAM=live"], "covid-cxr"),
        (["UPSTREAM=live", "CXR_PREFIX=mine"], "mine"),
    ],
)
def test_make_gives_the_sample_a_prefix_of_its_own_for_all_services(arguments, prefix, tmp_path):
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "CXR_PREFIX=$CXR_PREFIX"\n')
    docker.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if name != "CXR_PREFIX"}
    environ |= {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    upstream, *named = arguments
    environ |= dict(each.split("=") for each in named)
    command = ["make", "--no-print-directory", "--silent", "logs", upstream]
    shown = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in shown.splitlines() if line.startswith("CXR_PREFIX=")]
    given = dict([line.split("=")]) | dict.fromkeys(REQUIRED, "x")
    for name in AIRFLOW:
        assert resolve(FILE, given)["services"][name]["environment"]["CXR_PREFIX"] == prefix, name


def test_the_simulator_starts_and_serves_what_the_workers_ask(services, sample_folder):
    upstream, port = services["upstream"], "8000"
    command = upstream["command"][2]
    assert command.count("/var/lib/upstream") == 2 and upstream["volumes"] == ["upstream-data:/var/lib/upstream"]
    command = command.replace("/var/lib/upstream", shlex.quote(str(sample_folder)))
    command = command.replace("--host 0.0.0.0", "--host 127.0.0.1").replace(f"--port {port}", "--port 0")
    command = command.replace("python", shlex.quote(sys.executable))
    with subprocess.Popen(["bash", "-c", command], cwd=ROOT / "include", stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = [server.stdout.readline().strip() for _ in range(6)]
            address = lines[1].rsplit(" ", 1)[1]
            health = upstream["healthcheck"]["test"][-1].replace(f"http://127.0.0.1:{port}", address)
            with urllib.request.urlopen(health, timeout=PATIENCE) as answer:
                assert json.load(answer)["sha"]
                assert answer.headers["X-Synthetic-Data"] == "true"
        finally:
            server.send_signal(signal.SIGINT)
    files = lines[3].partition("=")[2].removesuffix("/github-raw")
    served = dict(
        line.replace(address, f"http://upstream:{port}").replace(files, "http://upstream:8001").split("=")
        for line in lines[2:]
    )
    asked = services["worker-sample"]["environment"]
    assert served == {name: value for name, value in asked.items() if name.startswith("CXR_") and name.endswith("_URL")}


def test_the_image_has_airflow_in_our_version_and_all_that_it_copies():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    lock = (ROOT / "requirements-distributed.txt").read_text()
    [version] = re.findall(r"^apache-airflow==(\S+)", lock, flags=re.MULTILINE)
    assert f"FROM apache/airflow:{version}-python3.12" in lines
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {line.split()[1] for line in lines if line.startswith("COPY ")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_distributed_lock_only_adds_to_the_local_one():
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.-]+==.*", (ROOT / name).read_text(), flags=re.MULTILINE))

    assert pins("requirements.txt") < pins("requirements-distributed.txt")


def test_init_makes_the_bucket_and_the_password_again_and_again(s3_client: S3Client, tmp_path: Path):
    prepare = runpy.run_path(str(ROOT / "deploy/init.py"))["prepare"]
    passwords = tmp_path / "passwords.json"
    environ = {
        "CXR_BUCKET": f"made-by-init-{tmp_path.name[-1]}",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW_ADMIN_PASSWORD": "first",
    }
    prepare(environ, s3_client)
    prepare(environ | {"AIRFLOW_ADMIN_PASSWORD": "second"}, s3_client)
    assert json.loads(passwords.read_text()) == {"admin": "second"}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert environ["CXR_BUCKET"] in [item["Name"] for item in s3_client.list_buckets()["Buckets"]]


def test_secrets_are_new_each_time_and_fit_their_use():
    first, second = (dict(re.findall(r"^(\w+)=(.*)$", env_file.fill(EXAMPLE), flags=re.MULTILINE)) for _ in range(2))
    assert list(first) == REQUIRED
    assert all(len(first[name]) >= 32 and first[name] != second[name] for name in REQUIRED)
    Fernet(first["AIRFLOW_FERNET_KEY"])
    assert len(first["AIRFLOW_JWT_SECRET"]) >= 64


def test_make_secrets_writes_a_private_file_once(tmp_path, capsys):
    (tmp_path / ".env.example").write_text("A_PASSWORD=\n# B=\n")
    env_file.main(tmp_path)
    written = tmp_path / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    text = written.read_text()
    filled = re.fullmatch(r"A_PASSWORD=([\w-]{32})\n# B=\n", text)
    assert filled and filled[1] not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="exists and is kept"):
        env_file.main(tmp_path)
    assert written.read_text() == text


def test_the_helm_files_agree_and_name_what_exists():
    from airflow.configuration import conf

    values = yaml.safe_load((ROOT / "deploy/helm/values.yaml").read_text())
    pod = yaml.safe_load((ROOT / "deploy/helm/pod-template.yaml").read_text())
    [container] = pod["spec"]["containers"]
    assert container["name"] == "base"
    assert container["image"] == f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}"
    assert f"FROM apache/airflow:{values['airflowVersion']}-python3.12" in (ROOT / "Dockerfile").read_text()
    assert container["envFrom"] == yaml.safe_load(values["extraEnvFrom"])

    given = {item["name"]: item["value"] for item in container["env"]}
    for section, options in values["config"].items():
        for option, value in options.items():
            assert option in conf.configuration_description[section]["options"]
            assert given.pop(f"AIRFLOW__{section}__{option}".upper(), value) == value, option
    assert "execution_api_server_url" in conf.configuration_description["core"]["options"]
    assert set(given) == {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "CXR_SCRATCH_DIR"}
    assert "scratch_dir" in Settings.__dataclass_fields__
    assert {mount["name"] for mount in container["volumeMounts"]} == {item["name"] for item in pod["spec"]["volumes"]}
