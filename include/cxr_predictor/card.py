"""The model card: what the scores do not mean, then how good they are, inside and outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cxr_snapshot.audit.words import SYNTHETIC, counted, percent
from cxr_snapshot.shown import markdown
from cxr_snapshot.tables import CLASSES

# Goes with every score, wherever it is shown.
WARNING = (
    "This is not a diagnosis. The scores do not say whether anybody has COVID-19 or pneumonia: they say which of three "
    "collections of images a picture looks like, and any other picture gets scores as well."
)
_WARNED = re.compile(r"^> \*\*Read this before you train on it\.\*\* (.+)$", re.MULTILINE)
_CONTENTS = """\
| file | what |
|---|---|
| `model.keras` | the network; `keras.models.load_model` reads it, or `python -m cxr_snapshot predict` |
| `metrics.json` | all figures of this page, and more |
| `predictions.csv` | what the model says of each image of the split `test`, and of each judge |
| `occlusion.png` | what the scores of some test images rest on |
| `SHA256SUMS`, `_SUCCESS` | checksums; written last |"""


def model_card(metrics: Mapping[str, Any], dataset_card: str) -> bytes:
    """Return the model's ``README.md``.

    Args:
        metrics: what ``metrics.json`` says.
        dataset_card: the snapshot's ``README.md``, whose warning is quoted.
    """
    inside, synthetic = metrics["inside"], metrics["synthetic"]
    drawings = [f"> **SYNTHETIC.** {SYNTHETIC} That goes for this model too."] if synthetic else []
    quoted = [] if synthetic else [f"> {found}" for found in _WARNED.findall(dataset_card)]
    parts = [
        "> **The scores of this model do not say whether anybody has COVID-19 or pneumonia.** They say which of three "
        f"collections of {'drawings' if synthetic else 'images'} a picture looks like. Not for diagnosis or triage.",
        *drawings,
        *quoted,
        f"# {'Drawings' if synthetic else 'COVID, normal or pneumonia'}: a model of {metrics['version']}",
        f"Trained on the snapshot `{metrics['uri']}`, of which its audit says: {markdown(metrics['audit'])}",
        "## How good it is on images like those that it learnt from",
        _inside(inside),
        "## Does it look at lungs?",
        _lungs(inside),
        "## How good it is elsewhere",
        _outside(metrics["outside"], synthetic=synthetic),
        "## How far its probabilities can be believed",
        _calibration(inside["calibration"]),
        "## How it was made",
        _making(metrics),
        "## Files",
        _CONTENTS,
    ]
    return ("\n\n".join(parts) + "\n").encode()


def shown_figure(figure: Mapping[str, Any] | None) -> str:
    """Return such as ``87 % (79 to 94 %; 40 images of 31 patients)``."""
    return "not measured" if figure is None else _with_base(percent, figure)


def shown_area(figure: Mapping[str, Any] | None) -> str:
    """Return such as ``0.97 (0.90 to 1.00; 40 images of 31 patients)``."""
    return "not measured" if figure is None else _with_base("{:.2f}".format, figure)


def _with_base(shown: Callable[[float], str], figure: Mapping[str, Any]) -> str:
    base = f"{counted(figure['images'], 'image')} of {counted(figure['patients'], 'patient')}"
    return f"{shown(figure['value'])} ({shown(figure['low']).removesuffix(' %')} to {shown(figure['high'])}; {base})"


def _inside(inside: Mapping[str, Any]) -> str:
    rows = [
        [f"`{name}`", shown_figure(found["sensitivity"]), shown_figure(found["specificity"]), shown_area(found["auc"])]
        for name, found in inside["classes"].items()
    ]
    return "\n\n".join(
        [
            "Measured on the recommended split `test`, of which it saw no patient and no picture. In brackets: the "
            "95 % interval, drawn by patient, and what it rests on; patients whom a picture links count as one.",
            f"Balanced accuracy: **{shown_figure(inside['balanced_accuracy'])}**; guessing gives "
            f"{percent(inside['chance'])}. These images are from the same places as those that it learnt from: this "
            "says nothing of any other place.",
            _table(["class", "sensitivity", "specificity", "area under the ROC curve"], rows),
            "Images by true class (rows) and class that it names:",
            _confusion(inside["confusion"]),
        ]
    )


def _lungs(inside: Mapping[str, Any]) -> str:
    rows = [
        ["the whole picture", shown_figure(inside["balanced_accuracy"])],
        ["all but the lungs, which are blacked out", shown_figure(inside["without_lungs"])],
        ["the lungs only", shown_figure(inside["lungs_only"])],
    ]
    return "\n\n".join(
        [
            _table(["what it sees of the test images", "balanced accuracy"], rows),
            "The lungs are the rectangle that nearly all lungs fit into, four fifths of the picture; heart, spine and "
            "ribs are in it too, and show the age. It was not trained on blackened pictures, so a low figure may come "
            "of the black alone; a figure without lungs that is well above guessing does not.",
            "![Occlusion maps](occlusion.png)",
            "Red is where a patch over the picture lowers the score of the class that it names. The images are those "
            "with the lowest SHA-256 of each class; nobody picked them.",
        ]
    )


def _outside(outside: Mapping[str, Any] | None, *, synthetic: bool) -> str:
    if outside is None:
        needed = (
            "**Not measured.** That takes judges: images of patients from other places, among them normal adults. "
            "Train with a second snapshot as judge, such as one with the collections `nih` and `hannover`."
        )
        return needed if not synthetic else f"{needed} Of drawings it would say nothing."
    counts = [[f"`{each['class']}`", f"`{each['source']}`", f"{each['images']:,}"] for each in outside["images"]]
    if not counts:
        return f"**Not measured.** `{outside['uri']}` has no collection that this snapshot lacks, or no patient of one."
    return "\n\n".join(
        [
            f"The judges are the images of `{outside['uri']}` whose collection this snapshot does not have, and of "
            "whose patients it has no picture:",
            _table(["class", "source", "images"], counts),
            f"- Normal adults whom it calls COVID: **{shown_figure(outside['normal_adults_called_covid'])}**",
            "- Area under the ROC curve, COVID against normal adults: "
            f"**{shown_area(outside['covid_or_normal_auc'])}**; guessing gives 0.5",
            "Images by true class (rows) and class that it names:",
            _confusion(outside["confusion"]),
        ]
    )


def _calibration(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{percent(each['from'])} to {percent(each['to'])}",
            f"{each['images']:,}",
            percent(each["mean_probability"]),
            percent(each["right"]),
        ]
        for each in found["bins"]
    ]
    return "\n\n".join(
        [
            f"On the split `test` the probability of the named class is off by {percent(found['error'])} in the mean "
            "(expected calibration error). Elsewhere it may be off by anything.",
            _table(["probability of the named class", "images", "mean probability", "named rightly"], rows),
        ]
    )


def _making(metrics: Mapping[str, Any]) -> str:
    training, made = metrics["training"], metrics["made_with"]
    rows = [
        [split, *(f"{training['images'][split][name]:,} of {training['patients'][split][name]:,}" for name in CLASSES)]
        for split in training["images"]
    ]
    return "\n\n".join(
        [
            f"A convolutional network with {training['parameters']:,} weights on pictures of 128 x 128 pixels, trained "
            f"for {counted(training['epochs'], 'epoch')}, of which epoch {training['best_epoch']} was best on the "
            f"split `validation`; seed {metrics['made_from']['seed']}, Keras {made['keras']} on JAX {made['jax']}. The "
            "same snapshot, seed and programs give the same figures on the same machine.",
            "Images of patients, by split and class:",
            _table(["split", *(f"`{name}`" for name in CLASSES)], rows),
        ]
    )


def _confusion(table: Mapping[str, Mapping[str, int]]) -> str:
    rows = [[f"`{name}`", *(f"{row[other]:,}" for other in CLASSES)] for name, row in table.items()]
    return _table(["", *(f"named `{name}`" for name in CLASSES)], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
