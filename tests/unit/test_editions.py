"""What may stand in the file of editions, and under which name a run publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_snapshot.editions import DEFAULT, Edition, dag_id, edition_of, place_of, read_editions
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import Settings
from support.paths import ROOT

ADULTS = Edition("adults", "Adults", settings={"ages": "adults"})
TAKEN = ("default", "adults")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "editions.yaml"
    file.write_text(text)
    return file


def test_the_file_of_the_project_has_the_edition_of_adults() -> None:
    default, adults = read_editions(ROOT / "dags/editions.yaml")
    assert default == DEFAULT and default.dag_id == "covid_cxr_snapshot"
    assert (adults.name, adults.dag_id, adults.paused) == ("adults", "covid_cxr_snapshot_adults", True)
    settings = Settings.load({"bucket": "any", **adults.settings}, environ={"CXR_CONTROLS": "kaggle"})
    assert (settings.sources, settings.controls, settings.ages) == ("covid,nih,hannover", "prefer-upstream", "adults")


def test_what_is_left_out_is_left_to_the_deployment(tmp_path: Path) -> None:
    assert read_editions(written(tmp_path, "# none yet\n")) == (DEFAULT,)
    _, one, two = read_editions(
        written(tmp_path, "- {name: one, title: One}\n- {name: two-2, title: Two, schedule: 0 4 * * 1, paused: false}")
    )
    assert one == Edition("one", "One", None, True, {})
    assert two == Edition("two-2", "Two", "0 4 * * 1", False, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- name: [", "cannot be read: "),
        ("name: one", "is no list of editions"),
        ("- one", "is no list of editions"),
        ("- {title: One}", "edition number 1: name is None, but must be a text"),
        ("- {name: one}", "edition one: title is None, but must be a text"),
        ("- {name: 2020, title: One}", "edition 2020: name is 2020, but must be a text"),
        ("- {name: One, title: One}", "edition One: 'One' is no name of an edition. Give up to 31 lower-case"),
        ("- {name: -x, title: One}", "is no name of an edition"),
        ("- {name: default, title: One}", "edition default: name is taken"),
        ("- {name: a, title: A}\n- {name: a, title: B}", "edition a: name is taken"),
        ("- {name: a, title: A, shedule: 0 4 * * 1}", "edition a: unknown field shedule; did you mean schedule?"),
        ("- {name: a, title: A, schedule: nightly}", "edition a: schedule is 'nightly', but must be a cron expression"),
        ("- {name: a, title: A, paused: never}", "edition a: paused is 'never', but must be true or false"),
        ("- {name: a, title: A, settings: views}", "edition a: settings is 'views', but must have a line"),
        (
            "- {name: a, title: A, settings: {view: x}}",
            "unknown setting of an edition view; did you mean views?",
        ),
        ("- {name: a, title: A, settings: {bucket: x}}", "edition a: unknown setting of an edition bucket; "),
        (
            "- {name: a, title: A, settings: {views: side}}",
            r"edition a: setting views \(CXR_VIEWS\) is 'side'",
        ),
        (
            "- {name: a, title: A, settings: {max_per_class: few}}",
            "edition a: setting max_per_class .* is 'few'",
        ),
        ("- {name: a, title: A, settings: {sources: nih}}", "edition a: sources is 'nih'; add covid"),
        (
            "- {name: a, title: A, settings: {sources: 'covid,nhi'}}",
            "edition a: unknown .* nhi; did you mean nih?",
        ),
    ],
)
def test_a_slip_is_refused_by_file_edition_and_field(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError, match=rf"^{file}.*{said}"):
        read_editions(file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"editions\.yaml cannot be read"):
        read_editions(tmp_path / "editions.yaml")


OWN = {"views": "frontal", "max_per_class": None}
OTHER = OWN | {"max_per_class": 5, "ages": "adults"}


def test_a_run_that_sets_nothing_otherwise_publishes_as_its_edition() -> None:
    for edition in (DEFAULT, ADULTS):
        assert place_of(edition, None, OWN, OWN, TAKEN) == edition.name
        assert place_of(edition, edition.name, OWN, OWN, TAKEN) == edition.name
        assert place_of(edition, "try", OWN, OWN, TAKEN) == "try"


def test_a_run_that_differs_needs_a_name_that_no_dag_has() -> None:
    assert place_of(DEFAULT, "try-2", OWN, OTHER, TAKEN) == "try-2"
    with pytest.raises(SettingsError, match=r"sets ages, max_per_class otherwise than the edition default, .* Edition"):
        place_of(DEFAULT, None, OWN, OTHER, TAKEN)
    for name in TAKEN:
        with pytest.raises(SettingsError, match=rf"asks for the edition {name}, .* taken are adults, default"):
            place_of(DEFAULT, name, OWN, OTHER, TAKEN)
    with pytest.raises(SettingsError, match="is one of the edition default and asks for the edition adults"):
        place_of(DEFAULT, "adults", OWN, OWN, TAKEN)
    with pytest.raises(SettingsError, match="no name of an edition"):
        place_of(DEFAULT, "../default", OWN, OTHER, TAKEN)


def test_dag_and_asset_bear_the_name() -> None:
    assert [dag_id(name) for name in TAKEN] == ["covid_cxr_snapshot", "covid_cxr_snapshot_adults"]
    assert [edition_of(dag_id(name)) for name in TAKEN] == list(TAKEN)


@pytest.mark.parametrize("dag", ["covid_cxr_predictor", "covid_cxr_snapshot_", "covid_cxr_snapshot_default", "adults"])
def test_another_dag_is_of_no_edition(dag: str) -> None:
    assert edition_of(dag) is None
