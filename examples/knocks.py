"""From a DataFrame to cross-validated scores: three groups beside ridge regression and boosted trees.

Eight sensors on a ring record three channels for 16 steps. Either nothing strikes the ring, or one sensor is struck, or
two neighbours, or two that are three apart. A tenth of the readings is missing. Turning or mirroring the ring changes
no kind: its symmetry is D8.
"""

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asen_hf import AsenClassifier

STRUCK = {"quiet": [], "single": [0], "neighbours": [0, 1], "apart": [0, 3]}

rng, time = np.random.default_rng(0), np.arange(12)
kinds = rng.choice(list(STRUCK), size=200)
readings = rng.normal(size=(200, 8, 3, 16))
for row, kind in zip(readings, kinds, strict=True):
    sensors = (np.array(STRUCK[kind], dtype=int) + rng.integers(8)) % 8
    loudness = rng.uniform(2, 6, size=(len(sensors), 3, 1))
    row[sensors, :, 4:] += loudness * np.exp(-time / 6) * np.cos(0.8 * time)
readings[rng.random(readings.shape) < 0.1] = np.nan
names = [f"sensor{node}_{channel}{step}" for node in range(8) for channel in "xyz" for step in range(16)]
table = pd.DataFrame(readings.reshape(200, -1), columns=names).assign(kind=kinds)

rows, labels = table.drop(columns="kind"), table["kind"]
models = {group: AsenClassifier(group, n_estimators=3, random_state=0) for group in ("D8", "C8", "E8")}  # E8: trivial
models["ridge"] = make_pipeline(SimpleImputer(), StandardScaler(), RidgeClassifierCV(np.logspace(0, 5, 11)))
models["trees"] = HistGradientBoostingClassifier(random_state=0)
for name, model in models.items():
    print(f"{name:5s} {cross_val_score(model, rows, labels, cv=5).mean():.3f}")
