"""Loads a model as a user of Keras does, and prints what it says of a black picture."""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

network = keras.models.load_model(sys.argv[1], safe_mode=True)
scores = network.predict(np.zeros((1, 128, 128, 1), "float32"), verbose=0)[0]
print(json.dumps([round(float(score), 4) for score in scores]))
