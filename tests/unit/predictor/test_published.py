from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cxr_predictor.errors import DamagedModelError, PredictorError
from cxr_predictor.published import edition_and_version, find_model, find_snapshot, models_of, snapshots_of
from cxr_predictor.publishing import publish, with_sums
from cxr_snapshot.errors import MissingObjectError, PublishConflictError, SettingsError
from cxr_snapshot.store.objects import Store
from support.patients import publish_patients

FILES = {"metrics.json": b"{}", "README.md": b"# A model"}


def write(folder: Path) -> Path:
    folder.mkdir()
    for name, body in with_sums(FILES).items():
        (folder / name).write_bytes(body)
    return folder


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("latest", ("default", "latest")),
        ("2026-11-22.1", ("default", "2026-11-22.1")),
        ("adults/2026-11-22", ("adults", "2026-11-22")),
        ("s3://bucket/prefix/2026-11-22", None),
        ("some/folder/2026-11-22", None),
        ("model", None),
    ],
)
def test_an_edition_may_stand_before_a_version(name: str, parts: tuple[str, str] | None) -> None:
    assert edition_and_version(name) == parts


def test_a_folder_is_read_and_each_file_checked(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    assert find_model(str(folder)).get("README.md") == b"# A model"
    (folder / "README.md").write_bytes(b"# Another")
    with pytest.raises(DamagedModelError, match=r"model/README.md is not what SHA256SUMS says"):
        find_model(str(folder)).get("README.md")
    (folder / "SHA256SUMS").write_bytes(b"0\n")
    with pytest.raises(DamagedModelError, match="is not what _SUCCESS says"):
        find_model(str(folder))


@pytest.mark.parametrize("missing", ["_SUCCESS", "SHA256SUMS"])
def test_what_is_not_finished_is_no_model(tmp_path: Path, missing: str) -> None:
    folder = write(tmp_path / "model")
    (folder / missing).unlink()
    with pytest.raises(PredictorError, match=f"no finished snapshot or model.*{missing} is missing"):
        find_model(str(folder))
    with pytest.raises(PredictorError, match="no finished snapshot or model"):
        find_model(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("address", ["s3://", "s3://bucket", "s3://bucket/"])
def test_an_address_without_a_folder_is_refused(address: str) -> None:
    with pytest.raises(PredictorError, match="names no folder of a bucket"):
        find_snapshot(address)


def test_versions_are_those_of_the_store_and_its_editions(store: Store) -> None:
    publish_patients(snapshots_of(store, "adults"))
    publish(models_of(store, "adults"), "2026-11-22", FILES)
    publish(models_of(store, "adults"), "2026-11-23", FILES)
    found = find_snapshot("adults/2026-11-22", lambda: store)
    assert found.address == store.uri("editions/adults/2026-11-22")
    assert found.get_json("snapshot.json")["version"] == "2026-11-22"
    assert find_model("adults/latest", lambda: store).address == store.uri("models/adults/2026-11-23")
    with pytest.raises(MissingObjectError, match="is no complete snapshot"):
        find_snapshot("2026-11-22", lambda: store)
    with pytest.raises(PredictorError, match=r"there is no model at .*models/default/. Run `make predictor`"):
        find_model("latest", lambda: store)
    with pytest.raises(SettingsError, match="is no name of an edition"):
        find_model("../2026-11-22", lambda: store)


def test_a_model_is_finished_last_and_never_written_over(store: Store) -> None:
    publish(store, "2026-11-22", FILES)
    before = {name: store.fetch(name).etag for name in store.list("2026-11-22/")}
    assert {name.split("/")[1] for name in before} == {*FILES, "SHA256SUMS", "_SUCCESS"}
    sums = store.get("2026-11-22/SHA256SUMS")
    assert store.get("2026-11-22/_SUCCESS").decode().strip() == hashlib.sha256(sums).hexdigest()
    publish(store, "2026-11-22", FILES)  # an answer was lost
    with pytest.raises(PublishConflictError, match=r"README.md is there with other bytes"):
        publish(store, "2026-11-22", FILES | {"README.md": b"# Another"})
    assert {name: store.fetch(name).etag for name in store.list("2026-11-22/")} == before


def test_what_broke_off_is_finished_by_equal_files_only(store: Store) -> None:
    store.put("2026-11-22/README.md", FILES["README.md"])
    with pytest.raises(PublishConflictError, match=r"delete .*2026-11-22/ and train again"):
        publish(store, "2026-11-22", FILES | {"README.md": b"# Another"})
    assert not store.exists("2026-11-22/_SUCCESS")
    publish(store, "2026-11-22", FILES)
    assert store.exists("2026-11-22/_SUCCESS")
