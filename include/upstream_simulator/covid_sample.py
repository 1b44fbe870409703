"""The generated COVID image collection: five commits that show what the real one did to its readers.

Every picture, patient, address and text here is made up. Only the forms are taken from life: headers, encodings, labels
and mishaps. Each mishap is one planted ``Case`` with a comment; the rest are ordinary.
"""

from __future__ import annotations

import csv
import io
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from upstream_simulator.phantom import Kind, draw

LAST_STEP = 5
_README_ONLY_STEP = 4
_HIERARCHICAL_STEP = 5  # from here on a finding is a path, such as Pneumonia/Viral/COVID-19

Form = Literal["jpeg", "resaved jpeg", "png", "rgba png", "palette png", "webp"]


@dataclass(frozen=True)
class Commit:
    """One state of the upstream.

    Attributes:
        date: when it was made, as ISO 8601 text in UTC.
        subject: commit message.
        files: every file's bytes by its path.
    """

    date: str
    subject: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """One row of ``metadata.csv`` and its image file.

    Attributes:
        patient: patient id, with a number in it.
        name: file name as the row spells it.
        kind: what the picture shows; ``None`` for a row that has no file in ``images/``.
        finding: label in the words of the first steps.
        view: view; ``Axial`` and ``Coronal`` are CT.
        offset: days since the first symptom.
        first: step in which the row appears.
        has_row: whether there is a row at all.
        file: file name under ``images/`` where it differs from ``name``.
        form: how the file is encoded, whatever its name says.
        file_first: step in which the file appears, where it differs from ``first``.
        file_last: last step in which the file is there.
        redrawn: step from which the file holds another picture.
        picture: name of the case whose picture this shows too.
        note: clinical note.
    """

    patient: str
    name: str
    kind: Kind | None = "covid"
    finding: str = "COVID-19"
    view: str = "PA"
    offset: str = "0"
    first: int = 1
    has_row: bool = True
    file: str = ""
    form: Form = "jpeg"
    file_first: int = 0
    file_last: int = LAST_STEP
    redrawn: int = LAST_STEP + 1
    picture: str = ""
    note: str = ""

    def file_name(self, step: int) -> str | None:
        """Return the name under ``images/`` in ``step``, or ``None`` where there is no such file."""
        there = self.kind is not None and (self.file_first or self.first) <= step <= self.file_last
        return (self.file or self.name) if there else None


_SHIFTED = "sars-2003-figure-3a.jpg"
_RAGGED = "strep-lobar-01.jpg"

_PLANTED = (
    Case("60", "icu-ward-60-a.jpg", finding="COVID-19, ARDS", view="AP"),
    Case("61", "first-days-61.jpeg", finding="SARS-CoV-2"),  # the label of the first days
    Case("62", "replaced-film-62.jpg", redrawn=3),  # same name, new bytes
    Case("63", "withdrawn-63.jpg", file_last=2),  # the image goes, its row stays for a while
    Case("64", "listed-twice-64.jpeg"),
    Case("64", "listed-twice-64.jpeg", offset="5", first=3),  # one file under two rows
    Case("65", "ct-slice-65-a.png", "ct", view="Axial", form="png"),
    Case("65", "ct-slice-65-b.jpg", "ct", view="Coronal", offset="3"),
    Case("66", "side-view-66.jpg", "lateral", view="L"),
    Case("67", "sars-2003-figure-1.jpg", "pneumonia", finding="SARS"),
    Case("68", "unlisted-film.jpg", "normal", has_row=False),  # an image without a row
    Case("70", "late-upload-70.jpg", first=2, file_first=3),  # the row comes one commit before its image
    Case("71", "screenshot-71.jpg", first=2, form="png"),  # PNG bytes in a .jpg
    Case("72", "spaced-out-72.jpeg ", first=2, file="spaced-out-72.jpeg"),  # a space at the end of the name
    Case("73", "side-view-73.jpeg", "lateral", view="L", first=2, note="the patient\udc92s second visit"),  # not UTF-8
    Case("74", _RAGGED, "pneumonia", finding="Streptococcus", first=2),
    Case("75", "ct-volume-75.nii.gz", None, view="Axial", first=3),  # lives in volumes/, which holds no image
    Case("76", _SHIFTED, "pneumonia", finding="SARS", first=3),
    Case("311a", "bedside-311a-1.jpg", view="AP Supine", first=5),  # an id that is no number
    Case("311a", "bedside-311a-2.png", view="AP Supine", offset="2", first=5, form="rgba png"),
    Case("312", "indexed-312.png", first=5, form="palette png"),
    Case("313", "CAMERA-313.JPG", view="AP Erect", first=5),
    Case("314", "no-extension-314", first=5),
    Case("315", "from-the-web-315.jpg", first=5, form="webp"),
    Case("316", "mirror-copy-316.jpg", first=5, form="resaved jpeg", picture="first-days-61.jpeg"),  # near-duplicate
    Case("317", "listed-twice-64.jpeg", first=5),  # the same file under another patient
    Case("318", "wrong-suffix-318.png", first=5, file="wrong-suffix-318.jpg"),  # the row names a file that is not there
    Case("319", "unknown-view-319.jpg", view="?", first=5),
    Case("320", "healthy-320.jpg", "normal", finding="No Finding", first=5),
    Case("321", "undecided-321.jpg", "normal", finding="todo", first=5),
)

_PATHS = {
    "COVID-19": "Pneumonia/Viral/COVID-19",
    "COVID-19, ARDS": "Pneumonia/Viral/COVID-19",
    "SARS-CoV-2": "Pneumonia/Viral/COVID-19",
    "SARS": "Pneumonia/Viral/SARS",
    "Streptococcus": "Pneumonia/Bacterial/Streptococcus",
}

_CLINICAL = "temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count"
_HEADERS = {
    1: "Patientid,offset,sex,age,finding,survival,view,date,location, filename,doi, url,",
    2: "Patientid,offset,sex,age,finding,survival,view,modality,date,location,filename,doi, url,license,"
    "clinical notes,other notes",
    3: "patientid,offset,sex,age,finding,survival,intubated,went_icu,needed_supplemental_O2,extubated,"
    f"{_CLINICAL},view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,",
    5: "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
    f"needed_supplemental_O2,extubated,{_CLINICAL},view,modality,date,location,folder,filename,doi,url,license,"
    "clinical_notes,other_notes,",
}

_LICENSES = ("CC BY-NC-SA", "CC0", "", "CC BY-NC-ND")
_LOCATIONS = ("", "Example General Hospital, Sampletown", "Clínica Ejemplo, Villa Muestra", "Model Clinic, Testford")
_NOTES = (
    "",
    "fever and dry cough for four days",
    'seen at home first, "no distress", then admitted',
    "made-up patient\nwith a note of two lines",
)

_COMMITS = (
    ("2020-03-11T01:00:00+00:00", "first images and metadata"),
    ("2020-03-28T15:30:00+00:00", "new cases, modality and license columns"),
    ("2020-04-06T22:20:00+00:00", "clinical columns, CT volumes, missing image"),
    ("2020-06-24T09:15:00+00:00", "update README.md"),
    ("2020-10-01T14:00:00+00:00", "hierarchical labels, new cases"),
)
_README = "# Sample image collection\n\nGenerated pictures for trying things out. No patient is shown here.\n"


def history(seed: int) -> list[Commit]:
    """Return the commits, oldest first; the same seed gives the same bytes with the same library versions."""
    cases = _cases(seed)
    commits: list[Commit] = []
    for step, (date, subject) in enumerate(_COMMITS, start=1):
        readme = _README + ("\nPlease cite the sample.\n" if step >= _README_ONLY_STEP else "")
        files = {"README.md": readme.encode(), "metadata.csv": _metadata(cases, step, seed)}
        before = commits[-1].files if commits else {}
        for case in cases:
            path = f"images/{case.file_name(step)}"
            if case.file_name(step) is None or path in files:
                continue
            kept = before.get(path) if step != case.redrawn else None  # drawing is slow
            files[path] = kept or _encode(case, step, seed)
        commits.append(Commit(date, subject, files))
    return commits


def _cases(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 0])
    ordinary = _ordinary(rng, first=1, count=19, patient=1)
    ordinary += _ordinary(rng, first=2, count=6, patient=80)
    ordinary += _ordinary(rng, first=3, count=2, patient=100)
    return [*ordinary, *_PLANTED]


def _ordinary(rng: np.random.Generator, *, first: int, count: int, patient: int) -> list[Case]:
    """Return ``count`` frontal COVID images of patients numbered from ``patient``, one to three images each."""
    cases: list[Case] = []
    while len(cases) < count:
        images = min(int(rng.integers(1, 4)), count - len(cases))
        days = sorted(rng.choice(15, size=images, replace=False))
        for letter, day in zip("abc", days, strict=False):
            names = (
                f"sample-journal-2020.{100 + patient}-gr2_lrg-{letter}.jpg",
                f"covid-19-sample-{patient}-day-{day}.jpeg",
                f"SAMPLE{patient:04d}-{rng.integers(2**32):08X}.jpeg",
                f"sample-album-{patient}-{letter}.png",
            )
            name = names[patient % len(names)]
            view = str(rng.choice(("PA", "PA", "AP") if first == 1 else ("PA", "AP", "AP Supine")))
            form: Form = "png" if name.endswith(".png") else "jpeg"
            cases.append(Case(str(patient), name, view=view, offset=str(day), first=first, form=form))
        patient += 1
    return cases


def _metadata(cases: list[Case], step: int, seed: int) -> bytes:
    """Return ``metadata.csv`` as the upstream of ``step`` wrote it."""
    schema = max(number for number in _HEADERS if number <= step)
    header = _HEADERS[schema].split(",")
    keys = [column.strip().lower().replace(" ", "_") for column in header]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n" if schema == 1 else "\n")
    writer.writerow(header)
    for number, case in enumerate(case for case in cases if case.has_row and case.first <= schema):
        row = _row(case, schema, seed)
        writer.writerow(_damaged(case, [row.get(key, "") for key in keys], schema))
        if schema == 3 and number in (4, 9, 10):
            text.write(("\n", "," * (len(header) - 1) + "\n")[number % 2])
        if schema == 3 and number == 12:
            text.write('"Figure 2. A caption, pasted over a row of the sheet."\n')
    return text.getvalue().encode("utf-8", "surrogateescape")  # \udc92 becomes the stray byte 0x92


def _damaged(case: Case, row: list[str], schema: int) -> list[str]:
    """Return the row as a slip in a spreadsheet left it; the last schema repairs all."""
    if schema == 3 and case.name == _SHIFTED:
        return row[:4] + row[5:-1]  # a cell deleted: all that follows moved one column to the left
    if schema == 3 and case.name == _RAGGED:
        return row[:-3]  # the last cells are missing
    return row


def _row(case: Case, schema: int, seed: int) -> dict[str, str]:
    """Return the cells of one row by normalised column name; a patient's own facts are the same in all rows."""
    rng = np.random.default_rng([seed, 1, zlib.crc32(case.patient.encode())])
    number = int("".join(filter(str.isdigit, case.patient)))
    is_ct = case.view in ("Axial", "Coronal")
    is_covid = _PATHS.get(case.finding, "").endswith("/COVID-19")
    finding = case.finding if schema < _HIERARCHICAL_STEP else _PATHS.get(case.finding, case.finding)
    note = case.note or str(rng.choice(_NOTES))
    facts = {
        "sex": str(rng.choice(("M", "F", ""))),
        "age": str(rng.choice(("", *range(24, 88)))),
        "survival": str(rng.choice(("Y", "Y", "N", ""))),
        "intubated": str(rng.choice(("Y", "N", ""))),
        "went_icu": str(rng.choice(("Y", "N", ""))),
        "temperature": f"{rng.uniform(36.5, 39.8):.1f}" if number % 3 == 0 else "",
        "location": str(rng.choice(_LOCATIONS)),
        "date": f"February {rng.integers(1, 29)}, 2020" if number % 4 else "2020",
    }
    return facts | {
        "patientid": case.patient,
        "offset": case.offset if number % 11 else " ",
        "finding": "COVID-19" if schema > 1 and finding == "SARS-CoV-2" else finding,
        "rt_pcr_positive": ("Unclear" if number % 10 == 9 else "Y") if is_covid else "",
        "view": "CT" if is_ct and schema == 1 else case.view,
        "modality": "CT" if is_ct else "Radiograph" if schema == 2 else "X-ray",
        "folder": "volumes" if case.kind is None else "images",
        "filename": case.name,
        "doi": f"10.5555/sample.{number}" if number % 2 else "",
        "url": f"https://example.org/cases/{number}",
        "license": _LICENSES[number % len(_LICENSES)],
        "clinical_notes": note if schema < _HIERARCHICAL_STEP else note.replace("\udc92", "'"),
    }


def _encode(case: Case, step: int, seed: int) -> bytes:
    """Return the bytes of a case's image file in ``step``."""
    if case.kind is None:
        raise ValueError(f"case {case.name} has no image; give it a kind to draw")
    shown = zlib.crc32((case.picture or case.name).encode())
    image = Image.fromarray(draw(case.kind, np.random.default_rng([seed, 2, shown, int(step >= case.redrawn)])))
    body = io.BytesIO()
    match case.form:
        case "jpeg":
            image.save(body, "JPEG", quality=82)
        case "resaved jpeg":
            image.save(body, "JPEG", quality=50)
        case "png":
            image.save(body, "PNG")
        case "rgba png":
            image.convert("RGBA").save(body, "PNG")
        case "palette png":
            image.convert("P").save(body, "PNG")
        case "webp":
            image.save(body, "WEBP", quality=80)
    return body.getvalue()
