"""The generated upstream: reproducible, decodable, and odd in all the ways that it promises."""

import csv
import hashlib
import io
import itertools
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.waiting import PATIENCE
from upstream_simulator import phantom, sample
from upstream_simulator.__main__ import main

STEPS = [f"step-{number}" for number in range(1, 6)]
ZIP = "kaggle/paultimothymooney/chest-xray-pneumonia/1.zip"
INCLUDE = Path(sample.__file__).parents[1]


def git(folder, *arguments):
    return subprocess.run(
        ["git", f"--git-dir={folder / sample.GIT_NAME}", *arguments], check=True, capture_output=True
    ).stdout


def commits_and_zip(folder):
    return git(folder, "for-each-ref"), hashlib.sha256((folder / ZIP).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def folder(sample_folder):
    """The sample, which is not to be changed."""
    return sample_folder


@pytest.fixture(scope="module")
def archive(folder):
    with zipfile.ZipFile(folder / ZIP) as archive:
        yield {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def replay(tmp_path):
    """Return a repository in the form of the sample with three tiny steps, for tests that move its branch."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "master", tmp_path / sample.GIT_NAME], check=True)
    stream = "".join(
        f"commit refs/replay/step-{number}\ncommitter A <a@example.org> {number} +0000\ndata 1\nx\n"
        for number in (1, 2, 10)
    )
    subprocess.run(
        ["git", f"--git-dir={tmp_path / sample.GIT_NAME}", "fast-import", "--quiet"],
        input=stream + "reset refs/heads/master\nfrom refs/replay/step-1\n\n",
        text=True,
        check=True,
    )
    return tmp_path


def metadata(folder, step):
    return git(folder, "show", f"refs/replay/{step}:metadata.csv")


def rows(folder, step):
    """Return the data records of ``step`` that fit the header, as dicts by normalised column name."""
    header, *records = csv.reader(io.StringIO(metadata(folder, step).decode("latin-1"), newline=""))
    names = [name.strip().lower().replace(" ", "_") for name in header]
    return [dict(zip(names, record, strict=True)) for record in records if len(record) == len(header) and any(record)]


def images(folder, step):
    """Return the git blob hash of every file under images/ by its name."""
    listing = git(folder, "ls-tree", "-z", f"refs/replay/{step}:images").decode()
    return {line.split("\t")[1]: line.split()[2] for line in listing.split("\0") if line}


def image_bytes(folder, step, name):
    return git(folder, "show", f"refs/replay/{step}:images/{name}")


def frontal_covid(folder, step):
    there = images(folder, step)
    return {
        row["filename"].strip()
        for row in rows(folder, step)
        if ("COVID-19" in row["finding"] or row["finding"] == "SARS-CoV-2")
        and row["view"] in ("PA", "AP", "AP Supine", "AP Erect")
        and row["filename"].strip() in there
    }


def perceptual_hash(pixels):
    """Return 256 bits: the signs, about their median, of the lowest frequencies."""
    size = np.arange(64)
    cosines = np.cos(np.pi * (2 * size[None, :] + 1) * size[:16, None] / 128)
    small = np.asarray(Image.fromarray(pixels).resize((64, 64), Image.Resampling.LANCZOS), dtype=float)
    low = cosines @ small @ cosines.T
    return low > np.median(low)


@pytest.mark.long
def test_same_seed_gives_the_same_commits_and_zip(folder, tmp_path):
    sample.write_sample(tmp_path / "again")

    assert commits_and_zip(tmp_path / "again") == commits_and_zip(folder)


def test_what_is_missing_is_written_and_what_is_there_is_kept(replay):
    before = git(replay, "for-each-ref")

    sample.write_sample(replay)

    assert sample.has_sample(replay)
    assert git(replay, "for-each-ref") == before


def test_another_seed_draws_another_picture():
    first, second = (phantom.draw("normal", np.random.default_rng(seed)) for seed in (0, 1))

    assert first.tobytes() != second.tobytes()


def test_size_and_authors(folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert size < 12_000_000
    assert set(git(folder, "log", "--format=%an|%cn", "refs/replay/step-5").decode().split("\n")[:-1]) == {
        "Sample Upstream|Sample Upstream"
    }
    assert not list(folder.glob(".sample-*")), "scratch files are left over"


def test_pictures_are_of_the_promised_size_and_far_apart():
    kinds = ("covid", "normal", "pneumonia")
    pictures = [phantom.draw(kinds[number % 3], np.random.default_rng([9, number])) for number in range(45)]
    hashes = [perceptual_hash(picture) for picture in pictures]

    assert {side // 200 for picture in pictures for side in picture.shape} <= {1, 2}
    assert len({picture.shape for picture in pictures}) > 30
    assert min(int((a != b).sum()) for a, b in itertools.combinations(hashes, 2)) > 50


def test_the_kind_of_picture_shows():
    """An opaque lung is brighter, on average over many pictures."""
    mean = {
        kind: np.mean([phantom.draw(kind, np.random.default_rng([7, number])).mean() for number in range(25)])
        for kind in ("covid", "normal", "pneumonia")
    }

    assert mean["normal"] < mean["covid"]
    assert mean["normal"] < mean["pneumonia"]


def test_advance_walks_through_every_step_and_stops(replay):
    git_dir = replay / sample.GIT_NAME

    assert [sample.advance(git_dir) for _ in range(3)] == ["step-2", "step-10", None]
    assert git(replay, "rev-parse", "master") == git(replay, "rev-parse", "refs/replay/step-10")

    sample.rewind(git_dir)
    assert git(replay, "rev-parse", "master") == git(replay, "rev-parse", "refs/replay/step-1")


def test_sample_starts_at_its_first_step(folder):
    refs = git(folder, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/replay").decode().split()

    assert refs == STEPS
    assert git(folder, "rev-parse", "HEAD") == git(folder, "rev-parse", "refs/replay/step-1")


def test_advance_refuses_a_branch_that_is_at_no_step(replay):
    git(replay, "update-ref", "-d", "refs/replay/step-1")

    with pytest.raises(sample.SampleError, match="is no replay step; set it to one: git"):
        sample.advance(replay / sample.GIT_NAME)


def test_advance_refuses_what_is_no_sample(tmp_path):
    with pytest.raises(sample.SampleError, match="Check that this is a git repository"):
        sample.advance(tmp_path / sample.GIT_NAME)

    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "empty.git"], check=True)
    with pytest.raises(sample.SampleError, match="write a sample first"):
        sample.advance(tmp_path / "empty.git")


def test_frontal_covid_images_grow(folder):
    assert [len(frontal_covid(folder, step)) for step in STEPS] == [24, 32, 34, 34, 41]


def test_first_step_has_the_old_header(folder):
    text = metadata(folder, "step-1")
    records = rows(folder, "step-1")

    assert text.split(b"\r\n")[0].startswith(b"Patientid,")
    assert text.count(b"\n") == text.count(b"\r\n")
    for name in (b", filename,", b", url,"):
        assert name in text
    assert not {"modality", "folder", "license"} & records[0].keys()
    assert {"COVID-19", "COVID-19, ARDS", "SARS", "SARS-CoV-2"} <= {row["finding"] for row in records}
    assert "CT" in {row["view"] for row in records}
    assert set(images(folder, "step-1")) - {row["filename"] for row in records} == {"unlisted-film.jpg"}


def test_second_step(folder):
    text, records, there = metadata(folder, "step-2"), rows(folder, "step-2"), images(folder, "step-2")

    with pytest.raises(UnicodeDecodeError):
        text.decode("utf-8")
    assert {row["modality"] for row in records} == {"Radiograph", "CT"}
    assert "L" in {row["view"] for row in records}
    assert {"CC BY-NC-SA", "CC0", "", "CC BY-NC-ND"} == {row["license"] for row in records}
    assert "late-upload-70.jpg" in {row["filename"] for row in records}
    assert "late-upload-70.jpg" not in there
    assert "spaced-out-72.jpeg " in {row["filename"] for row in records}
    assert "spaced-out-72.jpeg" in there
    assert image_bytes(folder, "step-2", "screenshot-71.jpg").startswith(b"\x89PNG")


def test_third_step(folder):
    text, records, there = metadata(folder, "step-3"), rows(folder, "step-3"), images(folder, "step-3")
    names = [row["filename"] for row in records]
    widths = {len(record) for record in csv.reader(io.StringIO(text.decode("latin-1"), newline=""))}

    assert text.split(b"\n")[0].endswith(b","), "the trailing empty column"
    assert b"\n\n" in text
    assert b"\n" + b"," * 26 + b"\n" in text
    assert widths == {0, 1, 24, 25, 27}, "blank, caption, ragged and shifted rows beside whole ones"
    assert "late-upload-70.jpg" in there
    assert "withdrawn-63.jpg" in names
    assert "withdrawn-63.jpg" not in there
    assert "withdrawn-63.jpg" in images(folder, "step-2")
    assert names.count("listed-twice-64.jpeg") == 2
    assert there["replaced-film-62.jpg"] != images(folder, "step-2")["replaced-film-62.jpg"]
    (volume,) = [row for row in records if row["folder"] == "volumes"]
    assert volume["modality"] == "CT"
    assert volume["filename"].endswith(".nii.gz")
    assert volume["filename"] not in there


def test_fourth_step_touches_only_the_readme(folder):
    changed = git(folder, "diff", "--name-only", "refs/replay/step-3", "refs/replay/step-4").decode().split()

    assert changed == ["README.md"]


def test_last_step_has_hierarchical_labels(folder):
    records = rows(folder, "step-5")
    header = metadata(folder, "step-5").decode("utf-8").split("\n")[0]

    assert len(header.split(",")) == 30
    assert {"Pneumonia/Viral/COVID-19", "Pneumonia/Viral/SARS", "No Finding", "todo"} <= {
        row["finding"] for row in records
    }
    assert not [row for row in records if row["finding"].startswith("COVID-19")]
    assert {row["rt_pcr_positive"] for row in records} == {"Y", "Unclear", ""}
    assert {row["view"] for row in records if row["patientid"] == "311a"} == {"AP Supine"}
    assert "?" in {row["view"] for row in records}
    assert {row["patientid"] for row in records if row["filename"] == "listed-twice-64.jpeg"} == {"64", "317"}
    assert "wrong-suffix-318.png" in {row["filename"] for row in records}
    assert "wrong-suffix-318.png" not in images(folder, "step-5")


def test_every_covid_image_decodes(folder):
    forms = set()
    for name in images(folder, "step-5"):
        with Image.open(io.BytesIO(image_bytes(folder, "step-5", name))) as image:
            image.load()
            forms.add((image.format, image.mode))

    assert forms == {("JPEG", "L"), ("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB")}


def test_every_kaggle_image_decodes(archive):
    pictures = {name: body for name, body in archive.items() if name.endswith(".jpeg") and "/._" not in name}
    for body in pictures.values():
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            assert image.format == "JPEG"

    counts = [sum(f"/{label}/" in name for name in pictures) for label in ("NORMAL", "PNEUMONIA")]
    assert counts == [2 * 45, 2 * 50], "every image lies in the zip twice"


def test_kaggle_leftovers(archive):
    top = {name for name in archive if name.split("/")[1] in ("train", "val", "test")}
    nested = "chest_xray/"

    assert {name.split("/")[1] for name in top} == {"train", "val", "test"}
    assert all(archive[nested + name] == archive[name] for name in top)
    assert archive["chest_xray/chest_xray/.DS_Store"].startswith(b"\0\0\0\1Bud1")
    apple_doubles = [name for name in archive if name.startswith("chest_xray/__MACOSX/") and name.endswith(".jpeg")]
    assert len(apple_doubles) == len(top)
    assert all(archive[name].startswith(b"\0\5\x16\7") for name in apple_doubles)


def test_kaggle_has_two_identical_pairs_and_people_in_train_and_test(archive):
    top = [name for name in archive if name.split("/")[1] in ("train", "val", "test")]
    people = {
        split: {Path(name).name.split("_")[0] for name in top if f"/{split}/PNEUMONIA/" in name}
        for split in ("train", "test")
    }

    assert len(top) - len({archive[name] for name in top}) == 2
    assert len(people["train"] & people["test"]) >= 3
    assert "chest_xray/train/NORMAL/NORMAL2-IM-0515-0001.jpeg" in top
    assert "chest_xray/test/NORMAL/NORMAL2-IM-0515-0001-0002.jpeg" in top


def test_the_sample_of_an_older_version_goes_on_where_it_was(folder, tmp_path, capsys):
    shutil.copytree(folder / sample.GIT_NAME, tmp_path / "covid.git")
    (tmp_path / ZIP).parent.mkdir(parents=True)
    shutil.copy(folder / ZIP, tmp_path / ZIP)
    sample.advance(tmp_path / "covid.git")

    main(["advance", str(tmp_path)])

    assert f"Moved the repository of an older version to {tmp_path / sample.GIT_NAME}" in capsys.readouterr().out
    assert git(tmp_path, "rev-parse", "master") == git(folder, "rev-parse", "refs/replay/step-3")
    assert sample.has_sample(tmp_path)
    assert not (tmp_path / "covid.git").exists()
    assert not sample.move_older(tmp_path), "once is enough"


def test_command_sample_leaves_an_existing_one_untouched(folder, capsys):
    before = commits_and_zip(folder)

    main(["sample", str(folder), "--seed", "5"])

    assert "left untouched" in capsys.readouterr().out
    assert commits_and_zip(folder) == before


def test_command_advance_says_where_it_is(replay, capsys):
    for expected in ("now at step-2", "now at step-10", "no further one"):
        main(["advance", str(replay)])
        assert expected in capsys.readouterr().out


def test_command_serve_names_the_remedy(tmp_path, folder):
    with pytest.raises(SystemExit, match="run `python -m upstream_simulator sample"):
        main(["serve", str(tmp_path), "--port", "0"])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match=f"port {port} and the next: .* choose another --port"):
            main(["serve", str(folder), "--port", port])


def test_command_serve_answers_until_interrupted(replay):
    git(replay, "update-ref", "refs/heads/master", "refs/replay/step-10")
    (replay / "kaggle").mkdir()
    command = [sys.executable, "-m", "upstream_simulator", "serve", str(replay), "--port", "0", "--replay"]
    with subprocess.Popen(command, cwd=INCLUDE, stdout=subprocess.PIPE, text=True) as server:
        try:
            lines = [server.stdout.readline().strip() for _ in range(5)]
            settings = dict(line.split("=", 1) for line in lines[1:])
            request = urllib.request.Request(
                f"{settings['CXR_GITHUB_API_URL']}/repos/ieee8023/covid-chestxray-dataset/commits/master",
                headers={"Accept": "application/vnd.github.sha"},
            )
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                sha = answer.read()
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(timeout=PATIENCE) == 0
    assert lines[0].startswith(f"Serving {replay} at http://127.0.0.1:")
    assert sha.strip() == git(replay, "rev-parse", "refs/replay/step-1").strip()
