"""Small valid files of every format, made here: their arrays, how they are written, and what their rows must be."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.spatial.transform import Rotation

from asen_hf.data import get_task
from asen_hf.data._array_table import Array
from asen_hf.data.real import cards, codes, dna, molecules, music, pose_files, robots, sudoku, traffic_files
from asen_hf.data.real.human36m_cameras import ORIENTATIONS

START = 1_330_560_000  # 2012-03-01 00:00, a Thursday
STEPS, SENSORS = 40, 4
INDEX_16 = np.delete(np.arange(17), 9)
_PARENTS = [0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14]
_LEG, _ARM, _TRUNK = [[0, 0, -440]] * 2, [[0, 0, -280], [0, 0, -250]], [[0, 0, 240], [0, 0, 260], [0, 0, 220]]
_BONES = [[0, 0, 940], [130, 0, 0], *_LEG, [-130, 0, 0], *_LEG, *_TRUNK, [-170, 0, -30], *_ARM, [170, 0, -30], *_ARM]


def bodies(num_poses: int, seed: int = 0) -> np.ndarray:
    """``(T, 17, 3)`` in mm: 17 joints of Human3.6M, each pose turned and bent at random."""
    rng = np.random.default_rng(seed)
    lengths = np.linalg.norm(_BONES, axis=-1, keepdims=True)
    bones = _BONES + 0.3 * lengths * rng.normal(size=(num_poses, 16, 3)) * (np.arange(16) > 0)[:, None]
    bones *= lengths / np.linalg.norm(bones, axis=-1, keepdims=True)
    joints = np.zeros((num_poses, 16, 3))
    for joint, parent in enumerate(_PARENTS):
        joints[:, joint] = bones[:, joint] + (joints[:, parent] if joint else 0)
    turn = Rotation.from_rotvec(np.outer(rng.uniform(0, 2 * np.pi, num_poses), [0, 0, 1]))
    turned = np.stack([turn.apply(joints[:, joint]) for joint in range(16)], axis=1)
    return np.insert(turned, 9, (turned[:, 8] + turned[:, 9]) / 2, axis=1)


def as_coco(joints: np.ndarray) -> np.ndarray:
    """The same bodies with COCO's 17 joints: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles."""
    across = (joints[:, [11]] - joints[:, [14]]) / 10  # from right to left
    head = joints[:, [10]]
    face = np.concatenate([head, head + across, head - across, head + 2 * across, head - 2 * across], axis=1)
    return np.concatenate([face, joints[:, [11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]]], axis=1)


def images(joints: np.ndarray, subject: str) -> list[np.ndarray]:
    """What the subject's four cameras see of joints in mm, ``(T, J, 2)`` pixels each, from 5 m."""
    views = []
    for quaternion in ORIENTATIONS[subject]:
        seen = (joints - joints[:, :1]) @ Rotation.from_quat(quaternion, scalar_first=True).as_matrix()
        views.append(500 + 1145 * seen[..., :2] / (seen[..., 2:] + 5000))
    return views


def write_store(path, speed, stamps, kind="datetime64[ns]", key="df", **axis_attributes):
    """What pandas writes in fixed format: the index as int64 since 1970, in the unit that ``kind`` says."""
    names = np.array([b"773869", b"767541", b"767542", b"717447"])
    with h5py.File(path, "w") as file:
        frame = file.create_group(key)
        frame.attrs.update(pandas_type=np.bytes_("frame"), ndim=2, nblocks=1, encoding=np.bytes_("UTF-8"))
        for name, values in {"axis0": names, "axis1": stamps, "block0_items": names, "block0_values": speed}.items():
            frame[name] = values
            frame[name].attrs["transposed"] = np.uint8(1)
        frame["axis1"].attrs.update(kind=np.bytes_(kind), index_class=np.bytes_("datetime"), **axis_attributes)
    return path


def write_windows(folder, speed, stamps, steps=3, sizes=None, with_time=True):
    """What ``generate_training_data`` writes: every window by itself, float64, 70/10/20 in time order."""
    folder.mkdir()
    x, y = [], []
    for now in range(steps - 1, len(speed) - steps):
        for rows, windows in ((range(now - steps + 1, now + 1), x), (range(now + 1, now + steps + 1), y)):
            channels = [[[speed[t, i], stamps[t] % 86_400 / 86_400][: 1 + with_time] for i in range(4)] for t in rows]
            windows.append(channels)
    x, y = np.array(x), np.array(y)
    train, test = sizes or (round(0.7 * len(x)), round(0.2 * len(x)))
    for name, rows in {
        "train": slice(train),
        "val": slice(train, len(x) - test),
        "test": slice(len(x) - test, None),
    }.items():
        offsets = np.arange(1 - steps, 1)[:, None]
        np.savez(folder / f"{name}.npz", x=x[rows], y=y[rows], x_offsets=offsets, y_offsets=offsets + steps)
    return folder


@dataclass(frozen=True)
class Format:
    """A file format: its table, valid arrays, and a function that reads a file of such arrays and compares its rows.

    ``read_and_compare(folder, arrays)`` writes the arrays, reads them back through the package, and asserts that the
    rows say exactly what the arrays say, by other means than the reader's.
    """

    table: Sequence[Array]
    arrays: dict[str, np.ndarray]
    read_and_compare: Callable[[Path, dict[str, np.ndarray]], None]
    file: str  # its name, in errors


def rows_of(split):
    return split.with_format("numpy")[:]


def _save(folder, arrays, name="file.npz"):
    np.savez(folder / name, **arrays)
    return folder / name


def _chorales(folder, arrays):
    splits = get_task("music/jsb_chorales", data_path=_save(folder, arrays), history=1, step=1).load()
    sounding = [{note % 12 for note in chord if note != -1} for chord in arrays["pitch"].tolist()]
    assert all(note in range(-1, 128) for chord in arrays["pitch"].tolist() for note in chord)
    for number, split in enumerate(splits.values()):
        steps = [
            (sounding[now - 1], sounding[now])
            for now in range(1, len(sounding))
            if arrays["chorale"][now - 1] == arrays["chorale"][now] and arrays["split"][now] == number
        ]
        rows = rows_of(split)
        found = [
            tuple(set(np.flatnonzero(cells).tolist()) for cells in (inputs[:, 0], labels))
            for inputs, labels in zip(rows["inputs"], rows["labels"], strict=True)
        ]
        assert found == steps


def _sequences(folder, arrays):
    splits = get_task("sequence/dna_nfe2", data_path=_save(folder, arrays)).load()
    found = []
    for name, split in splits.items():
        rows = rows_of(split)
        bases = rows["inputs"].tolist()
        found += [(*row, label, name == "test") for row, label in zip(bases, rows["labels"].tolist(), strict=True)]
    columns = (arrays["sequence"].tolist(), arrays["label"].tolist(), arrays["is_test"].tolist())
    assert sorted(found) == sorted((*row, label, test) for row, label, test in zip(*columns, strict=True))


def _motions(folder, arrays):
    splits = get_task("robot/solo12_momentum", data_path=_save(folder, arrays)).load()
    for name, key in {"train": "train", "validation": "valid", "test": "test"}.items():
        rows = rows_of(splits[name])
        found = {
            (*np.round(np.arctan2(inputs[:, 0], inputs[:, 1]), 3), *inputs[:, 2], *labels)
            for inputs, labels in zip(rows["inputs"], rows["labels"], strict=True)
        }
        angles, velocities = np.split(np.asarray(arrays[f"{key}_X"], dtype=np.float64), 2, axis=1)
        turns = np.round(np.angle(np.exp(1j * angles)), 3)
        labels = np.asarray(arrays[f"{key}_Y"])
        expected = np.concatenate([turns, velocities, labels], axis=1)
        assert len(found) == len(expected)
        np.testing.assert_allclose(sorted(found), sorted(map(tuple, expected)), atol=2e-3, rtol=1e-6)


def _hands(folder, arrays):
    splits = get_task("cards/poker_hand", data_path=_save(folder, arrays)).load()
    found = {name: rows_of(split) for name, split in splits.items()}
    held = {
        name: sorted((*np.flatnonzero(inputs).tolist(), label) for inputs, label in zip(*rows.values(), strict=True))
        for name, rows in found.items()
    }
    cards = 13 * np.asarray(arrays["train_suit"]).astype(int) + np.asarray(arrays["train_rank"])
    train = sorted((*sorted(hand), label) for hand, label in zip(cards.tolist(), arrays["train_label"], strict=True))
    assert sorted(held["train"] + held["validation"]) == train
    tested = zip(np.asarray(arrays["test_cards"]).tolist(), arrays["test_label"], strict=True)
    assert held["test"] == sorted((*sorted(hand), label) for hand, label in tested)


def _shots(folder, arrays):
    code = codes.read_code(_save(folder, arrays))
    for part in ("train{}", "valid{}", "test{}_03", "test{}_05", "test{}_07"):
        for name, found in zip(("_error", "_syndrome"), code.shots[part], strict=True):
            bits = [[int(bit) for byte in row for bit in f"{int(byte):08b}"] for row in arrays[part.format(name)]]
            assert [row + [0] * (len(bits[0]) - len(row)) for row in found.tolist()] == bits
    np.testing.assert_array_equal(code.parity_checks, arrays["Hz"])
    np.testing.assert_array_equal(code.logical_operators, arrays["Lz"])
    assert not (np.asarray(arrays["Lz"]).astype(int) @ np.asarray(arrays["Hx"]).astype(int).T % 2).any()
    for option, key in {"translations": "generators", "automorphisms": "automorphism_generators"}.items():
        forms = [form.array_form for form in code.groups[option][0].generators]
        assert sorted(forms) == sorted(np.asarray(arrays[key]).astype(int).tolist())


def _puzzles(folder, arrays):
    path = _save(folder, arrays)
    for part in ("test", "easy"):
        # Groups and edges do not come from the file, and take most of the time.
        splits = get_task("puzzle/sudoku", data_path=path, test_part=part, group="trivial", support="complete").load()
        for split, key in {"train": "train", "validation": "valid", "test": part}.items():
            rows, puzzles, solutions = rows_of(splits[split]), arrays[f"{key}_puzzle"], arrays[f"{key}_solution"]
            assert len(rows["inputs"]) == len(puzzles)
            for inputs, labels, puzzle, solution in zip(
                *(rows["inputs"], rows["labels"], puzzles, solutions), strict=True
            ):
                for cell, given, digit in zip(range(81), puzzle.astype(int), solution.astype(int), strict=True):
                    tokens = [1 if given == other else 2 if given else 0 for other in range(1, 10)]
                    assert inputs[9 * cell : 9 * cell + 9].tolist() == tokens
                    expected = [-100] * 9 if given else [int(digit == other) for other in range(1, 10)]
                    assert labels[9 * cell : 9 * cell + 9].tolist() == expected


def _geometries(folder, arrays):
    arrays = {"symbols": np.array(["C", "H", "H", "H", "H"]), **arrays}
    splits = get_task("molecule/qm22", data_path=_save(folder, arrays)).load()
    order = np.arange(len(arrays["energy"]))
    np.random.default_rng(0).shuffle(order)
    rows = [rows_of(split) for split in splits.values()]
    pairs, labels = (np.concatenate([part[column] for part in rows]) for column in ("pairs", "labels"))
    distances = np.array([pdist(geometry) for geometry in np.asarray(arrays["positions"]).astype(float)])
    np.testing.assert_allclose([squareform(row) for row in pairs], distances[order], rtol=1e-6)
    np.testing.assert_allclose(labels, np.asarray(arrays["energy"]).astype(float)[order], rtol=1e-6)


def _series(folder, arrays):
    _compare_series(get_task("traffic/metr_la", data_path=_save(folder, arrays)), arrays)


def _store(unit):
    def read_and_compare(folder, arrays):
        stamps = arrays["axis1"]
        roads = _save(folder, {"adjacency": np.eye(SENSORS), "cluster2": np.arange(SENSORS) % 2}, "roads.npz")
        path = write_store(folder / "file.h5", arrays["block0_values"], stamps, f"datetime64[{unit}]")
        task = get_task("traffic/metr_la", data_path=path, adjacency_path=roads)
        seconds = stamps.astype(np.int64).astype(f"datetime64[{unit}]").astype("datetime64[s]").astype(int)
        _compare_series(task, {"speed_mph": arrays["block0_values"], "timestamps": seconds})

    return read_and_compare


def _compare_series(task, arrays):
    rows = [rows_of(split) for split in task.load().values()]
    inputs, labels = (np.concatenate([part[column] for part in rows]) for column in ("inputs", "labels"))
    speed = np.asarray(arrays["speed_mph"]).astype(np.float32)
    assert len(inputs) == len(speed) - 5
    angle = 2 * np.pi * np.asarray(arrays["timestamps"]) / 86_400
    for now in range(len(inputs)):
        for step in range(3):
            target, source = speed[now + 3 + step], speed[now + step]
            np.testing.assert_array_equal(labels[now, :, step], np.where(target == 0, np.nan, target))
            np.testing.assert_array_equal(inputs[now, source > 0, step], source[source > 0])
        np.testing.assert_allclose(inputs[now, :, 3], np.sin(angle[now + 2]), atol=1e-6)
        np.testing.assert_allclose(inputs[now, :, 4], np.cos(angle[now + 2]), atol=1e-6)
    if "adjacency" in arrays:
        n = len(arrays["adjacency"])
        edges = [[i, j] for i in range(n) for j in range(n) if arrays["adjacency"][i, j] != 0]
        assert sorted(task.config.edges) == edges
        clusters = arrays["cluster2"]
        orbits = {frozenset(orbit) for orbit in task.config.permutation_group().orbits()}
        orbits |= {frozenset([i]) for i in set(range(n)) - set().union(*orbits)}
        assert orbits == {frozenset(np.flatnonzero(clusters == cluster).tolist()) for cluster in set(clusters.tolist())}
        assert task.config.node_coordinates == list(
            map(list, zip(arrays["longitude"], arrays["latitude"], strict=True))
        )


def _windows(folder, arrays):
    path = write_windows(folder / "METR-LA", SPEED, STAMPS)
    np.savez(path / "val.npz", **arrays)
    split = get_task("traffic/metr_la", data_path=path, support="complete", group="trivial").load()["validation"]
    rows = rows_of(split)
    x, y = (np.asarray(arrays[key])[..., 0] for key in ("x", "y"))
    source, target = (np.moveaxis(part, 1, 2).astype(np.float32) for part in (x[:, -3:], y[:, :3]))
    np.testing.assert_array_equal(rows["labels"], np.where(target == 0, np.nan, target))
    np.testing.assert_array_equal(rows["inputs"][..., :3][source > 0], source[source > 0])


def _motion_capture(folder, arrays):
    poses = pose_files.read_motion_capture(_save(folder, arrays))
    world = np.asarray(arrays["positions_mm"]).astype(np.float64)
    world = world[:, arrays["index16_from17"].astype(int)] if world.shape[1] == 17 else world
    sequence, is_test = np.asarray(arrays["sequence"]), np.asarray(arrays["is_test"])
    row = 0
    for number in sorted(set(sequence.tolist())):
        for _ in range(4):
            for pose in np.flatnonzero(sequence == number):
                np.testing.assert_allclose(pdist(poses.positions[row]), pdist(world[pose]), rtol=1e-4, atol=0.1)
                assert poses.is_test[row] == is_test[pose] and is_test[pose] in (0, 1)
                row += 1
    assert row == len(poses.positions)


def _human36m(folder, arrays):
    world = {"S1": {"Walk": arrays["positions_3d"]}}
    views = [np.pad(view, ((0, 5), (0, 0), (0, 0)), mode="edge") for view in images(BODIES, "S1")]
    np.savez(folder / "file.npz", positions_3d=world)
    np.savez(folder / "file_2d.npz", positions_2d={"S1": {"Walk": [arrays["positions_2d"], *views[1:]]}})
    poses = pose_files.read_human36m(folder / "file.npz", folder / "file_2d.npz")
    joints, pixels = (np.asarray(arrays[key]) for key in ("positions_3d", "positions_2d"))
    joints, pixels = (array[:, INDEX_16] if array.shape[1] == 17 else array for array in (joints, pixels))
    for row in range(len(joints)):
        np.testing.assert_allclose(pdist(poses.positions[row]), 1000 * pdist(joints[row]), rtol=1e-4, atol=0.1)
        np.testing.assert_array_equal(poses.pixels[row], pixels[row].astype(np.float32))


_rng = np.random.default_rng(0)
SPEED = _rng.uniform(20, 70, size=(STEPS, SENSORS)).astype(np.float32)
SPEED[_rng.random(SPEED.shape) < 0.1] = 0
STAMPS = START + 22 * 3600 + 300 * np.arange(STEPS)  # midnight comes after 24 steps
BODIES = bodies(12)


def _window_arrays():
    clock = np.broadcast_to((STAMPS % 86_400 / 86_400)[:, None], SPEED.shape)
    series = np.stack([SPEED.astype(np.float64), clock], axis=-1)
    windows = np.stack([series[step : STEPS - 5 + step] for step in range(6)], axis=1)
    first, last = round(0.7 * len(windows)), len(windows) - round(0.2 * len(windows))
    return {"x": windows[first:last, :3], "y": windows[first:last, 3:]}


def bicycle_checks():
    """``Hx``, ``Hz`` and the translations, from the code's definition: A = x³ + y + y², B = y³ + x + x² on a torus."""
    turn = np.roll(np.eye(6, dtype=int), 1, axis=1)
    x, y, power = np.kron(turn, np.eye(6, dtype=int)), np.kron(np.eye(6, dtype=int), turn), np.linalg.matrix_power
    a, b = power(x, 3) + y + power(y, 2), power(y, 3) + x + power(x, 2)
    shifts = [np.argmax(shift, axis=1) for shift in (x, y)]
    return (
        np.hstack([a, b]),
        np.hstack([b.T, a.T]),
        np.array([np.r_[shift, 36 + shift, 72 + shift] for shift in shifts]),
    )


def kernel(checks):
    """A basis of the vectors over GF(2) that share an even number of entries with every check."""
    pivots, found = [], []
    for column, unit in zip(checks.T, np.eye(checks.shape[1], dtype=int), strict=True):
        for other, combination in pivots:
            if column[other.argmax()]:
                column, unit = column ^ other, unit ^ combination
        if column.any():
            pivots.append((column, unit))
        else:
            found.append(unit)
    return np.array(found)


def _shot_arrays():
    other_checks, checks, translations = bicycle_checks()
    arrays = {"Hx": other_checks, "Hz": checks, "Lz": kernel(other_checks)}
    arrays = {key: array.astype(np.uint8) for key, array in arrays.items()}
    arrays |= {"generators": translations, "automorphism_generators": translations}
    for part, rows in {"train{}": 8, "valid{}": 4, "test{}_03": 7, "test{}_05": 6, "test{}_07": 4}.items():
        errors = (_rng.random((rows, 72)) < 0.06).astype(int)
        for name, bits in {"_error": errors, "_syndrome": errors @ checks.T % 2}.items():
            arrays[part.format(name)] = np.packbits(bits.astype(np.uint8), axis=1)
    return arrays


def solved_boards(num_boards, seed=0):
    """Solutions ``(N, 81)`` of Sudoku: one pattern with digits, rows of a band and bands exchanged at random."""
    rng, boards = np.random.default_rng(seed), []
    for _ in range(num_boards):
        lines = np.concatenate([3 * band + rng.permutation(3) for band in rng.permutation(3)])
        pattern = (3 * (np.arange(9)[:, None] % 3) + np.arange(9)[:, None] // 3 + np.arange(9)) % 9
        boards.append((1 + rng.permutation(9))[pattern[lines][:, lines]].ravel())
    return np.array(boards)


def _puzzle_arrays():
    arrays = {}
    for part, rows in {"train": 5, "valid": 3, "test": 4, "easy": 3}.items():
        solutions = solved_boards(rows, seed=rows)
        arrays[f"{part}_puzzle"] = np.where(_rng.random(solutions.shape) < 0.4, solutions, 0).astype(np.uint8)
        arrays[f"{part}_solution"] = solutions.astype(np.uint8)
    return arrays


def methane(rows, seed=0):
    """Geometries ``(N, 5, 3)`` in ångström around methane's: carbon, then four hydrogens."""
    corners = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return 0.63 * corners + np.random.default_rng(seed).normal(0, 0.05, (rows, 5, 3))


FORMATS = {
    "dna": Format(
        dna.SEQUENCES,
        {
            "sequence": _rng.integers(4, size=(30, 7)).astype(np.uint8),
            "label": (np.arange(30) % 2).astype(np.uint8),
            "is_test": np.arange(30) % 3 == 0,
        },
        _sequences,
        "file.npz",
    ),
    "chorales": Format(
        music.CHORALES,
        {
            "pitch": np.where(_rng.random((30, 4)) < 0.1, -1, _rng.integers(48, 80, size=(30, 4))).astype(np.int8),
            "chorale": (np.arange(30) // 5).astype(np.int16),
            "split": (np.arange(30) // 5 % 3).astype(np.int8),
        },
        _chorales,
        "file.npz",
    ),
    "motions": Format(
        robots.MOTIONS,
        {
            name: _rng.uniform(-3, 3, size=(rows, size)).astype(np.float32)
            for split, rows in {"train": 8, "valid": 4, "test": 5}.items()
            for name, size in {f"{split}_X": 24, f"{split}_Y": 6}.items()
        },
        _motions,
        "file.npz",
    ),
    "hands": Format(
        cards.HANDS,
        {
            "train_suit": np.arange(100).reshape(20, 5).astype(np.uint8) % 4,
            "train_rank": np.arange(100).reshape(20, 5).astype(np.uint8) % 13,
            "train_label": (np.arange(20) % 10).astype(np.uint8),
            "test_cards": np.arange(60).reshape(12, 5).astype(np.uint8) % 52,
            "test_label": (np.arange(12) % 10).astype(np.uint8),
        },
        _hands,
        "file.npz",
    ),
    "shots": Format(codes.SHOTS, _shot_arrays(), _shots, "file.npz"),
    "puzzles": Format(sudoku.PUZZLES, _puzzle_arrays(), _puzzles, "file.npz"),
    "geometries": Format(
        molecules.GEOMETRIES,
        {"positions": methane(30), "energy": _rng.uniform(0, 30, 30)},
        _geometries,
        "file.npz",
    ),
    "series": Format(
        traffic_files.SERIES,
        {
            "speed_mph": SPEED,
            "timestamps": STAMPS,
            "adjacency": np.eye(SENSORS, dtype=np.float32) + 0.5 * np.eye(SENSORS, k=1, dtype=np.float32),
            "cluster2": np.array([0, 1, 0, 1], dtype=np.int8),
            "longitude": np.array([-118.0, -118.5, -118.25, -118]),
            "latitude": np.array([34.0, 33, 32, 31]),
        },
        _series,
        "file.npz",
    ),
    **{
        f"store of {unit}": Format(
            traffic_files.store_table(unit),
            {"block0_values": SPEED, "axis1": STAMPS * per_second},
            _store(unit),
            "file.h5",
        )
        for unit, per_second in {"s": 1, "ns": 10**9}.items()
    },
    "windows": Format(traffic_files.WINDOWS, _window_arrays(), _windows, "METR-LA"),
    "motion capture": Format(
        pose_files.MOTION_CAPTURE,
        {
            "positions_mm": BODIES.astype(np.float32),
            "sequence": np.repeat(np.arange(3), 4),
            "is_test": np.repeat(np.arange(3), 4) == 2,
            "index16_from17": INDEX_16,
        },
        _motion_capture,
        "file.npz",
    ),
    "human3.6m": Format(
        (pose_files.HUMAN36M_WORLD, pose_files.HUMAN36M_IMAGE),
        {"positions_3d": BODIES.astype(np.float32) / 1000, "positions_2d": images(BODIES, "S1")[0]},
        _human36m,
        "file",
    ),
}
