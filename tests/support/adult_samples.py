"""Small generated stand-ins for the two collections of adults, in the layouts that upstream has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from support.ledgers import picture
from upstream_simulator.covid_sample import Commit

_NIH_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
_HANNOVER_HEADER = "patient_id,image_id,sex,age,size,weight,admission_offset,modality,projection,crp_val"


def nih_members(labels: Mapping[str, str], ages: Mapping[str, str] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each file of NIH's zip.

    Args:
        labels: by name of an image without its ending, such as ``00000013_005``, its labels.
        ages: likewise, as NIH writes them, of those who are not 60 years old.
    """
    ages = ages or {}
    rows = [f"{name}.png,{said},{name[9:]},{name[:8]},{ages.get(name, '060Y')},M,PA" for name, said in labels.items()]
    table = "\r\n".join([_NIH_HEADER, *rows, ""]).encode()
    for number, name in enumerate(labels):
        for folder in ("sample/images", "sample/sample/images"):
            yield f"{folder}/{name}.png", picture(2000 + number, "PNG")
    for folder in ("", "sample/", "sample/sample/"):
        yield f"{folder}sample_labels.csv", table


def hannover_commit(patients: Mapping[str, str]) -> Commit:
    """Return a commit of Hannover's repository.

    Args:
        patients: by name of an image without its ending, its patient.
    """
    rows = [f"{patient},{name},f,,,,0,CR,ap,inf" for name, patient in patients.items()]
    files = {f"png/{name}.png": picture(3000 + number, "PNG") for number, name in enumerate(patients)}
    files |= {"data.csv": "\n".join([_HANNOVER_HEADER, *rows, ""]).encode(), "readme.md": b"# Sample\n"}
    return Commit("2020-07-16T22:27:40+02:00", "data upload", files)
