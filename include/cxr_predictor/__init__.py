"""A predictor that is trained on a snapshot: COVID, NORMAL or PNEUMONIA, and how little its scores mean.

``published`` reads a snapshot or a model from a folder or from the store, each file checked. ``snapshots`` makes arrays
of a snapshot's shards. ``network`` and ``training`` make the model; ``metrics``, ``outside`` and ``occlusion`` measure
it; ``card`` says what came of it. ``making`` is the whole way on one page, ``release`` and ``publishing`` publish what
it returns, and ``prediction`` applies it to images.

It runs in an environment of its own (``requirements-predictor.txt``) without Airflow. Nothing of the pipeline imports
it.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"  # Keras reads it when it is imported
