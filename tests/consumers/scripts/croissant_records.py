"""Validates FOLDER/croissant.json with mlcroissant and reads all its records."""

import io
import json
import sys

import mlcroissant
from absl import logging

logged = io.StringIO()
logging.get_absl_handler().python_handler.stream = logged
dataset = mlcroissant.Dataset(jsonld=f"{sys.argv[1]}/croissant.json")
issues = dataset.metadata.ctx.issues
manifest = [
    {name.split("/")[1]: value.decode() if isinstance(value, bytes) else value for name, value in record.items()}
    for record in dataset.records(record_set="manifest")
]
examples = [
    [record["examples/file"].decode(), record["examples/label"], list(record["examples/image"].size)]
    for record in dataset.records(record_set="examples")
]
splits = [list(record.values()) for record in dataset.records(record_set="splits")]
print(
    json.dumps(
        {
            "errors": sorted(issues.errors),
            "warnings": sorted(issues.warnings),
            "logged": logged.getvalue(),
            "manifest": manifest,
            "splits": splits,
            "version": dataset.metadata.ctx.conforms_to.value,
            "biases": dataset.metadata.data_biases,
            "examples": examples,
        },
        default=str,
    )
)
