from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.sources.covid import finding_kind, folder
from cxr_snapshot.sources.words import licence_kind, modality, sex, view_kind

# Every finding in the last state of the collection, and labels of the first months.
FINDINGS = {
    "COVID-19": "covid",
    "SARS-CoV-2": "covid",
    "COVID-19, ARDS": "covid",
    "Pneumonia/Viral/COVID-19": "covid",
    " pneumonia / viral / covid-19 ": "covid",
    "SARS": "viral",
    "Pneumonia/Viral/SARS": "viral",
    "Pneumonia/Viral/MERS-CoV": "viral",
    "Pneumonia/Viral/Influenza": "viral",
    "Pneumonia/Viral/Influenza/H1N1": "viral",
    "Pneumonia/Viral/Varicella": "viral",
    "Pneumonia/Viral/Herpes ": "viral",
    "Swine-Origin Influenza A (H1N1) Viral Pneumonia": "viral",
    "Pneumonia/Bacterial": "bacterial",
    "Streptococcus": "bacterial",
    "Pneumonia/Bacterial/Streptococcus": "bacterial",
    "Pneumonia/Bacterial/Staphylococcus/MRSA": "bacterial",
    "Pneumonia/Bacterial/E.Coli": "bacterial",
    "Pneumonia/Bacterial/Klebsiella": "bacterial",
    "Pneumonia/Bacterial/Legionella": "bacterial",
    "Pneumonia/Bacterial/Mycoplasma": "bacterial",
    "Pneumonia/Bacterial/Chlamydophila": "bacterial",
    "Pneumonia/Bacterial/Nocardia": "bacterial",
    "No Finding": "normal",
    "Pneumonia": "other",
    "ARDS": "other",
    "Pneumonia/Fungal/Pneumocystis": "other",
    "Pneumonia/Fungal/Aspergillosis": "other",
    "Pneumonia/Lipoid": "other",
    "Pneumonia/Aspiration": "other",
    "Tuberculosis": "other",
    "Unknown": "not labelled",
    "Suspected COVID-19": "not labelled",
    "Pneumonia/todo": "not labelled",
    "Streptococcus, Influenza": "other",  # two causes
    "No Finding, Pneumonia/Viral": "other",
    "Pneumonia/Viral/Unknown": "other",
    "SARS,": "viral",
    "COVID-19\u200b": "covid",  # a space that nobody sees
    "todo": "not labelled",
    "TODO ": "not labelled",
    "?": "not labelled",
    "": "not labelled",
    None: "not labelled",
    "COVID-19?": None,
    "COVID": None,
    "No COVID-19": None,
    "COVID-190": None,
    "Pneumonia/Viral/Novel": None,
}


@pytest.mark.parametrize(("text", "kind"), FINDINGS.items())
def test_finding_is_read_by_whole_labels(text: str | None, kind: str | None) -> None:
    assert finding_kind(text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            (view, "frontal")
            for view in ("PA", "AP", "AP Supine", "AP Erect", "AP erect", "AP semi erect", "APS", " ap ")
        ),
        *((view, "lateral") for view in ("L", "Lateral")),
        *((view, "tomography") for view in ("CT", "HRCT", "Coronal CT", "Axial", "Coronal")),
        *((view, "not labelled") for view in ("?", "", None, "todo", "Unknown")),
        *((view, None) for view in ("APical", "PAL", "PA view")),
    ],
)
def test_view_is_read_by_whole_labels(text: str | None, kind: str | None) -> None:
    assert view_kind(text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("X-ray", "X-ray"),
        ("Radiograph", "X-ray"),
        ("x-RAY ", "X-ray"),
        ("CT", "CT"),
        ("CTA", None),
        (None, "not labelled"),
    ],
)
def test_modality_is_read_by_whole_labels(text: str | None, kind: str | None) -> None:
    assert modality(text) == kind


@pytest.mark.parametrize(
    ("text", "name"),
    [("images", "images"), ("Images/", "images"), ("volumes", "volumes"), ("image", None), ("", None), (None, None)],
)
def test_folder(text: str | None, name: str | None) -> None:
    assert folder(text) == name


@pytest.mark.parametrize(("text", "letter"), [("M", "M"), ("f", "F"), ("W", "F"), ("65", None), ("", None)])
def test_sex(text: str, letter: str | None) -> None:
    assert sex(text) == letter


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CC BY", "derivatives"),
        ("CC BY 4.0", "derivatives"),
        ("CC BY-NC-SA", "derivatives"),
        ("CC BY-NC-SA 4.0", "derivatives"),
        ("CC-NC-SA", "derivatives"),
        ("cc_by_sa 3.0", "derivatives"),
        ("CC0", "derivatives"),
        ("CC0 1.0", "derivatives"),
        ("Apache 2.0", "derivatives"),
        ("Public domain", "derivatives"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "derivatives"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "derivatives"),
        ("CC BY-NC-ND", "no-derivatives"),
        ("CC BY-NC-ND 4.0", "no-derivatives"),
        ("https://creativecommons.org/licenses/by-nd/4.0/", "no-derivatives"),
        ("Attribution-NoDerivatives 4.0 International", "no-derivatives"),
        ("all use, but no derivatives", "no-derivatives"),
        ("listed as authorized for everyone", None),
        ("CC", None),
        ("CC BYE", None),
        ("?", None),
        ("", None),
        (None, None),
    ],
)
def test_licence_is_read_as_upstream_spells_it(text: str | None, kind: str | None) -> None:
    assert licence_kind(text) == kind


@given(st.text())
def test_no_text_is_too_odd_to_be_asked_about(text: str) -> None:
    kinds = {view_kind(text), finding_kind(text), modality(text), folder(text), sex(text), licence_kind(text)}
    assert all(kind is None or isinstance(kind, str) for kind in kinds)
