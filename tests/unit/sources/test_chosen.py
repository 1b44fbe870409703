"""A deployment says which collections it ingests."""

from __future__ import annotations

import pytest

from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import SELECTION, Settings
from cxr_snapshot.sources import SOURCES, build_judges, build_sources, chosen, judging


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (None, ["covid", "pneumonia"]),
        ("", ["covid", "pneumonia"]),
        ("covid", ["covid"]),
        (" covid,nih , hannover", ["covid", "nih", "hannover"]),
        ("nih,covid", ["nih", "covid"]),
    ],
)
def test_collections_come_in_the_order_in_which_they_are_named(sources: str | None, names: list[str]) -> None:
    assert chosen(sources) == names


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ("covid,hanover", r"unknown collection in CXR_SOURCES: hanover; did you mean hannover\?"),
        ("covid,zzz", "unknown .* zzz; known are covid, hannover, nih, pneumonia"),
        ("covid,Nih", r"did you mean nih\?"),
        ("covid,", "known are"),
        ("covid,nih,covid", "twice"),
        ("pneumonia,nih", "add covid, whose commits time travel pins"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(sources: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        chosen(sources)


def test_every_collection_can_be_built() -> None:
    sources = build_sources(Settings(bucket="cxr", sources=",".join(SOURCES)))
    assert [source.name for source in sources.values()] == list(sources) == list(SOURCES)


@pytest.mark.parametrize(
    ("sources", "recorded"),
    [
        ("covid,pneumonia", None),
        ("pneumonia, covid", None),
        ("covid", "covid"),
        ("covid,nih,hannover", "covid,hannover,nih"),
        ("hannover,covid,nih", "covid,hannover,nih"),
    ],
)
def test_a_choice_is_recorded_where_it_is_not_the_default(sources: str, recorded: str | None) -> None:
    selection = Settings(bucket="cxr", sources=sources).selection()
    assert selection.pop("sources", None) == recorded
    assert list(selection) == list(SELECTION)


@pytest.mark.parametrize(
    ("sources", "judges", "names"),
    [
        (None, None, []),
        (None, "", []),
        (None, "nih,hannover", ["nih", "hannover"]),
        ("covid,nih", " nih, hannover", ["hannover"]),
        ("covid", "pneumonia", ["pneumonia"]),
        (None, "covid,pneumonia", []),
    ],
)
def test_judges_are_the_collections_that_are_no_sources(
    sources: str | None, judges: str | None, names: list[str]
) -> None:
    assert judging(sources, judges) == names
    settings = Settings(bucket="cxr", judges=judges) if sources is None else None
    assert settings is None or list(build_judges(settings)) == names


@pytest.mark.parametrize(
    ("judges", "problem"),
    [
        ("hanover", r"unknown collection in CXR_JUDGES: hanover; did you mean hannover\?"),
        ("nih,nih", "CXR_JUDGES is 'nih,nih' and names a collection twice"),
        ("nih,", "known are"),
    ],
)
def test_a_choice_of_judges_that_cannot_work_is_refused(judges: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        judging(None, judges)


def test_judges_decide_nothing_of_what_is_in() -> None:
    assert Settings(bucket="cxr", judges="nih").selection() == Settings(bucket="cxr").selection()
