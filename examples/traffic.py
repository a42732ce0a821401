"""Traffic: sensors of one road may be exchanged, sensors of different roads may not. Finetune, and compare.

Two made-up roads stand in for your file; its layout: asen_hf.data.real.traffic. Results on real data, with plots of a
day of forecasts: docs/results/traffic.md.
"""

from pathlib import Path

import numpy as np

import asen_hf

STEPS_PER_DAY, DAYS, SENSORS = 288, 4, 8  # readings every five minutes, sensors per road

rng = np.random.default_rng(0)
hour = np.arange(STEPS_PER_DAY * DAYS) % STEPS_PER_DAY / 12
speeds = np.zeros((len(hour), 2 * SENSORS))
for road, rush_hour in enumerate((8, 17)):
    jam = np.convolve(rng.random(len(hour)) < 0.03, np.ones(20))[: len(hour)]  # travels against the traffic
    for place in range(SENSORS):
        slow = 25 * np.exp(-(((hour - rush_hour) / 1.5) ** 2)) + 15 * np.roll(jam, 2 * (SENSORS - place))
        speeds[:, road * SENSORS + place] = np.clip(65 - slow + rng.normal(0, 1.5, len(hour)), 3, 70)
speeds[rng.random(speeds.shape) < 0.01] = 0  # a missing reading
road, place = np.divmod(np.arange(2 * SENSORS), SENSORS)
neighbours = (road[:, None] == road) & (np.abs(place[:, None] - place) <= 1)
path = Path("runs/speeds.npz")
path.parent.mkdir(exist_ok=True)
times = 300 * np.arange(len(hour))  # seconds
np.savez(path, speed_mph=speeds, timestamps=times, adjacency=neighbours, cluster2=road)

task = asen_hf.get_task("traffic/metr_la", data_path=path, group="clusters_2")
result = asen_hf.finetune("asen-sequence-tiny", task, name="traffic", max_steps=300)
score = result.scores["traffic"]
print(f"mean absolute error {score.value:.2f} mph; without a network: {score.references}")
