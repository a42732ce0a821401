"""pose/lifting on small files made here, in both layouts, and on the real motion capture where it is at hand."""

import itertools
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from asen_hf.closures import closure_report, group_order
from asen_hf.data import collate, get_task
from asen_hf.data._npz_files import read_pickled_entry
from asen_hf.data.real.human36m_cameras import ORIENTATIONS
from asen_hf.data.real.pose_files import read_human36m, read_motion_capture
from asen_hf.evaluation.metrics import p_mpjpe
from asen_hf.model.configuration_symmetries import value_group
from asen_hf.model.orbits import is_invariant_support
from asen_hf.model.row_actions import RowAction
from asen_hf.training.task_recipe import TaskRecipe
from tests.data.real.made_files import INDEX_16, as_coco, bodies, images

FRAMES = 3
INDEX_17 = np.array([0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27])  # of Human3.6M's 32


@pytest.fixture
def arrays():
    sequence = np.repeat(np.arange(8), FRAMES)
    return {
        "positions_mm": bodies(len(sequence)).astype(np.float32),
        "sequence": sequence,
        "is_test": sequence >= 6,
        "index16_from17": INDEX_16,
    }


@pytest.fixture
def save(tmp_path):
    def write(arrays, name="poses.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


@pytest.fixture
def human36m(tmp_path):
    """A small world in Human3.6M's layout: the paths of its two files, and what is in them."""
    world, pixels = {}, {}
    for number, subject in enumerate(ORIENTATIONS):
        for action in ("Walk", "Sit") if subject == "S5" else ("Walk",):
            joints = bodies(3, seed=10 + number + 100 * (action == "Sit"))
            world.setdefault(subject, {})[action] = np.zeros((2, 32, 3), dtype=np.float32)
            world[subject][action][:, INDEX_17] = joints[:2] / 1000
            views = [view.astype(np.float32) for view in images(joints, subject)]
            pixels.setdefault(subject, {})[action] = views  # one frame more
    paths = tmp_path / "data_3d_h36m.npz", tmp_path / "data_2d_h36m_gt.npz"
    np.savez_compressed(paths[0], positions_3d=world)
    np.savez_compressed(paths[1], positions_2d=pixels, metadata={"num_joints": 17})
    return paths, world, pixels


def test_cameras_see_the_body_as_it_is_upright_and_not_mirrored(arrays, save):
    poses = read_motion_capture(save(arrays))
    world = arrays["positions_mm"][:, INDEX_16]
    for number in range(8):
        seen = poses.positions[poses.sequence == number]
        real = np.tile(world[arrays["sequence"] == number], (4, 1, 1))
        assert (seen[:, 0] == 0).all()
        for each, truth in zip(seen, real, strict=True):
            np.testing.assert_allclose(pdist(each), pdist(truth), rtol=1e-4)
        whole = torch.ones(real.shape, dtype=torch.bool)
        assert p_mpjpe(torch.from_numpy(seen), torch.from_numpy(real), whole) < 0.01  # a mirror image would not fit
        down = seen[..., 1] - (real[:, :1, 2] - real[..., 2])
        assert np.abs(down).max() < 0.3 * np.abs(seen).max()  # cameras look only a little downwards


def test_pixels_are_the_projection_of_the_positions(arrays, save):
    poses = read_motion_capture(save(arrays))
    for pixels, positions in zip(poses.pixels.astype(float), poses.positions.astype(float), strict=True):
        # (u - 500) (z + t_z) = 1145 (x + t_x): linear in where the hip is, t
        zeros = np.zeros(16)
        rows, values = [], []
        for axis in range(2):
            ratio = (pixels[:, axis] - 500) / 1145
            columns = [zeros, zeros, -ratio]
            columns[axis] = zeros + 1
            rows.append(np.stack(columns, axis=1))
            values.append(ratio * positions[:, 2] - positions[:, axis])
        hip, *_ = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)
        expected = 500 + 1145 * (positions + hip)[:, :2] / (positions + hip)[:, 2:]
        np.testing.assert_allclose(pixels, expected, atol=0.02)
        assert 3500 < np.linalg.norm(hip) < 7000  # about 5 m away


def test_human36m_is_turned_into_the_cameras_axes(human36m):
    paths, world, pixels = human36m
    poses = read_human36m(*paths)
    joints = [0, 1, 2, 3, 6, 7, 8, 12, 13, 15, 17, 18, 19, 25, 26, 27]
    row = 0
    for number, (subject, action) in enumerate((s, a) for s, actions in world.items() for a in actions):
        for camera, frame in itertools.product(range(4), range(2)):
            w, x, y, z = ORIENTATIONS[subject][camera]
            to_camera = Rotation.from_quat([x, y, z, w]).as_matrix().T
            body = world[subject][action][frame, joints].astype(float)
            expected = 1000 * (body - body[0]) @ to_camera.T
            np.testing.assert_allclose(poses.positions[row], expected, atol=0.01)
            np.testing.assert_array_equal(poses.pixels[row], pixels[subject][action][camera][frame][INDEX_16])
            assert (poses.sequence[row], poses.is_test[row]) == (number, subject in ("S9", "S11"))
            row += 1
    assert row == len(poses.pixels)


def test_human36m_is_a_task_too(human36m):
    paths, _, _ = human36m
    splits = get_task("pose/lifting", data_path=paths[0], data_path_2d=paths[1]).load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 40, "validation": 8, "test": 16}


def test_human36ms_cameras_are_turns():
    for quaternions in ORIENTATIONS.values():
        np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-6)
        for quaternion in quaternions:
            forward = Rotation.from_quat(quaternion, scalar_first=True).as_matrix()[:, 2]
            assert abs(forward[2]) < 0.35  # near level


def test_splits_share_no_recording_and_hold_every_camera(arrays, save):
    task = get_task("pose/lifting", data_path=save(arrays))
    splits = task.load()
    assert {name: split.num_rows for name, split in splits.items()} == {"train": 60, "validation": 12, "test": 24}
    rows = {name: split.with_format("numpy")["labels"][:].reshape(-1, 48) for name, split in splits.items()}
    for first, second in itertools.combinations(rows, 2):
        assert not np.isclose(rows[first][:, None], rows[second]).all(axis=2).any()
    some = task.load(num_rows=24, seed=1)
    assert [split.num_rows for split in some.values()] == [15, 3, 6]
    assert not np.array_equal(some["train"]["inputs"], task.load(num_rows=24, seed=2)["train"]["inputs"])


@pytest.mark.parametrize(
    "group, order, keeps_bones",
    [
        ("left_right", 2, True),
        ("arms_and_legs", 4, True),
        ("mirrored_joints", 64, False),
        ("trivial", 1, True),
        ("symmetric", 20922789888000, False),
    ],
)
def test_groups(arrays, save, group, order, keeps_bones):
    config = get_task("pose/lifting", data_path=save(arrays), group=group).config
    assert group_order(config.permutation_group()) == order
    assert is_invariant_support(config.permutation_group(), config.edges) == keeps_bones
    assert len(config.edges) == 2 * 15 + 16


def test_on_a_closed_skeleton_the_network_keeps_all_64_elements(arrays, save):
    options = {"data_path": str(save(arrays)), "group": "mirrored_joints"}
    orders = {
        close_support: closure_report(
            TaskRecipe("pose/lifting", options=options, support="sparse", close_support=close_support).config()
        )
        for close_support in (False, True)
    }
    assert (orders[False].network_order, orders[True].network_order) == (4, 64)
    assert not orders[False].support_is_invariant and orders[True].is_exact


def test_left_right_swaps_the_joints_that_are_named_so(arrays, save):
    names = ["hip", *(f"{side}{joint}" for side in "RL" for joint in ("hip", "knee", "foot")), "spine", "thorax"]
    names += ["head", *(f"{side}{joint}" for side in "LR" for joint in ("shoulder", "elbow", "wrist"))]
    [swap] = get_task("pose/lifting", data_path=save(arrays)).config.permutation_group().generators
    for joint, image in enumerate(swap.array_form):
        name = names[joint]
        expected = {"L": "R", "R": "L"}[name[0]] + name[1:] if name[0] in "LR" else name
        assert names[image] == expected


def run_into_a_camera(positions):
    """The first recording goes from one end of a field to the other, past where the cameras stand."""
    positions[0, :, :2] -= 9000
    positions[1, :, :2] -= 3500
    return positions


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda arrays: arrays.pop("is_test"), "no key 'is_test'"),
        (lambda arrays: arrays.pop("index16_from17"), "index16_from17 must be given for 17 joints"),
        (
            lambda arrays: arrays.update(index16_from17=INDEX_16 + 1),
            "index16_from17, row 15: expected an integer in 0 … 16, got 17",
        ),
        (lambda arrays: arrays.update(sequence=arrays["sequence"][1:]), "sequence: expected shape"),
        (lambda arrays: arrays["positions_mm"].__setitem__((0, 0, 0), np.nan), "positions_mm, row 0: .* got nan"),
        (
            lambda arrays: arrays.update(positions_mm=arrays["positions_mm"] / 1000),
            "right thigh is 0.* mm .* another unit",
        ),
        (lambda arrays: arrays["positions_mm"].__setitem__((4, 3), 5000), "row 4: the right shin is .* distorted"),
        (lambda arrays: arrays.update(positions_mm=arrays["positions_mm"][..., [0, 2, 1]]), "third axis must point up"),
        (lambda arrays: arrays.update(positions_mm=as_coco(arrays["positions_mm"])), "thigh is .* order of joints"),
        (lambda arrays: arrays.update(positions_mm=run_into_a_camera(arrays["positions_mm"])), "too near to a camera"),
        (lambda arrays: arrays["is_test"].__setitem__(1, True), "is_test, row 1: True, but row 0 of the same sequence"),
        (lambda arrays: arrays.update(is_test=np.ones(24, dtype=bool)), "no recording for train, validation"),
    ],
)
def test_ill_formed_motion_capture_is_refused(arrays, save, change, message):
    change(arrays)
    with pytest.raises(ValueError, match=message):
        get_task("pose/lifting", data_path=save(arrays))


def test_ill_formed_human36m_is_refused(human36m, tmp_path):
    (path, path_2d), world, pixels = human36m

    def refused(message, world=world, pixels=pixels):
        np.savez(tmp_path / "3d.npz", positions_3d=world)
        np.savez(tmp_path / "2d.npz", positions_2d=pixels)
        with pytest.raises(ValueError, match=message):
            read_human36m(tmp_path / "3d.npz", tmp_path / "2d.npz")

    refused("subject 'S2' is not one of", world={"S2": world["S1"]})
    refused("S5, Sit: expected the views of 4", pixels={**pixels, "S5": {"Walk": pixels["S5"]["Walk"]}})
    refused(
        "S1, Walk, camera 0: 1 frames, but 2", pixels={**pixels, "S1": {"Walk": [v[:1] for v in pixels["S1"]["Walk"]]}}
    )
    refused(
        "S1, Walk: expected shape .frames, 16 or 17 or 32, 3.", world={**world, "S1": {"Walk": np.zeros((2, 20, 3))}}
    )
    refused("by subject and action", world={"S1": [1]})
    with pytest.raises(ValueError, match="no readable 'positions_3d'"):
        read_human36m(path_2d, path_2d)
    with pytest.raises(ValueError, match="unknown group 'S_3'"):
        get_task("pose/lifting", data_path=path, data_path_2d=path_2d, group="S_3")


@pytest.mark.parametrize("joint", [0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16])
def test_a_joint_too_few_is_noticed_in_space_and_on_the_image(arrays, human36m, tmp_path, save, joint):
    """17 joints without the neck are a layout of 16; without another joint, all that follow are misread."""
    del arrays["index16_from17"]
    changed = arrays | {"positions_mm": np.delete(arrays["positions_mm"], joint, axis=1)}
    with pytest.raises(ValueError, match=r"another .*order of joints"):
        read_motion_capture(save(changed))
    paths, _, pixels = human36m
    pixels["S6"]["Walk"][2] = np.delete(pixels["S6"]["Walk"][2], joint, axis=1)
    np.savez(tmp_path / "2d.npz", positions_2d=pixels)
    with pytest.raises(ValueError, match=r"2d\.npz: positions_2d, S6, Walk, camera 2: .* another order of joints"):
        read_human36m(paths[0], tmp_path / "2d.npz")


def test_cocos_joints_are_not_read_as_human36ms(human36m, tmp_path):
    """VideoPose3D publishes detections in both orders, with 17 joints each."""
    paths, world, pixels = human36m
    for subject, actions in world.items():
        joints = 1000 * actions["Walk"][:, INDEX_17].astype(np.float64)
        pixels[subject]["Walk"] = images(as_coco(joints), subject)
    np.savez(tmp_path / "coco.npz", positions_2d=pixels)
    with pytest.raises(ValueError, match=r"coco\.npz: positions_2d, S1, Walk, camera 0: .* such as COCO"):
        read_human36m(paths[0], tmp_path / "coco.npz")


def test_detections_that_err_by_some_pixels_are_taken(human36m, tmp_path):
    paths, _, pixels = human36m
    rng = np.random.default_rng(0)
    noisy = {
        subject: {action: [view + rng.normal(0, 10, view.shape) for view in views] for action, views in actions.items()}
        for subject, actions in pixels.items()
    }
    np.savez(tmp_path / "detected.npz", positions_2d=noisy)
    assert len(read_human36m(paths[0], tmp_path / "detected.npz").pixels) == 64


@pytest.mark.parametrize("factor", [1 / 1000, -1])
def test_an_image_in_another_unit_or_upside_down_is_refused(human36m, tmp_path, factor):
    paths, _, pixels = human36m
    pixels["S7"]["Walk"][3] = pixels["S7"]["Walk"][3] * factor
    np.savez(tmp_path / "2d.npz", positions_2d=pixels)
    with pytest.raises(ValueError, match=r"2d\.npz: positions_2d, S7, Walk, camera 3: .* pixels per mm in the median"):
        read_human36m(paths[0], tmp_path / "2d.npz")


def test_pickles_of_protocol_2_are_read(human36m, tmp_path):
    """NumPy pickled the published files like this; protocol 2 spells bytes as text in Latin-1."""
    paths, world, _ = human36m
    with zipfile.ZipFile(tmp_path / "old.npz", "w") as archive, archive.open("positions_3d.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"shape": (), "fortran_order": False, "descr": "|O"})
        pickle.dump(np.array(world, dtype=object), entry, protocol=2)
    old, new = read_human36m(tmp_path / "old.npz", paths[1]), read_human36m(*paths)
    for column, expected in zip(old, new, strict=True):
        np.testing.assert_array_equal(column, expected)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("file.npz", entry={"S1": [Harmful()]}, plain=np.arange(3))
    with pytest.raises(ValueError, match=r"refused to load .*mkdir"):
        read_pickled_entry("file.npz", "entry")
    assert not (tmp_path / "harm").exists()
    with pytest.raises(ValueError, match="expected one pickled object"):
        read_pickled_entry("file.npz", "plain")


def test_the_real_motion_capture(shared_data):
    task = get_task("pose/lifting", data_path=shared_data / "cmu_mocap_pose" / "cmu_pose17.npz")
    inside = ((task._poses.pixels >= 0) & (task._poses.pixels < 1000)).all(axis=(1, 2)).mean()
    assert inside > 0.97
    bones = np.linalg.norm(task._poses.positions[:, [1, 2]] - task._poses.positions[:, [2, 3]], axis=-1)
    assert (np.abs(np.median(bones, axis=0) - [370, 450]) < 30).all()  # thigh and shin, as its README says
    sizes = {name: split.num_rows for name, split in task.load(num_rows=6000).items()}
    assert sum(sizes.values()) in range(5998, 6003) and min(sizes.values()) > 500


def test_the_true_mirror_is_what_a_camera_sees_of_a_mirrored_body(arrays, save):
    """Mirror bodies in the camera's axes, project them, and compare with the action on rows."""
    task = get_task("pose/lifting", data_path=save(arrays), group="true_mirror")
    columns = collate(task.config, task.load()["train"])
    inputs, labels = columns["inputs"].double(), columns["labels"].double()
    swap = np.arange(16)
    for right, left in [(1, 4), (2, 5), (3, 6), (10, 13), (11, 14), (12, 15)]:
        swap[[right, left]] = left, right
    mirrored = labels[:, swap] * torch.tensor([-1.0, 1, 1])
    image = torch.stack([2 * 500 - inputs[:, swap, 0], inputs[:, swap, 1]], dim=-1)  # 500: the virtual cameras' centre
    action = RowAction(task.config, value_group(task.config).symmetries)
    first = torch.zeros(len(inputs), dtype=torch.long)
    torch.testing.assert_close(action.inputs(inputs, first), image)
    torch.testing.assert_close(action.labels(labels, first), mirrored)
    # Pixels fix the depth of the hip: its distance is what makes the other joints project to where they are.
    for pixels, joints in ((inputs, labels), (image, mirrored)):
        depth = _hip_depths(pixels, joints)
        seen = pixels[:, 0, None] + (joints[..., :2] * 1145 - (pixels[:, 0, None] - 500) * joints[..., 2:]) / (
            depth[:, None, None] + joints[..., 2:]
        )
        torch.testing.assert_close(seen, pixels, atol=0.05, rtol=0)


def _hip_depths(pixels, joints):
    """Least squares of u (z + dz) = u_0 z + f dx + … for the hip's depth z, u relative to the principal point."""
    u = pixels - 500
    factor = u - u[:, :1]
    target = 1145 * joints[..., :2] - u * joints[..., 2:]
    return (factor * target).sum(dim=(1, 2)) / factor.square().sum(dim=(1, 2))


@pytest.mark.parametrize("camera", [0, 2])
def test_the_true_mirror_maps_what_the_reader_sees_to_what_it_sees_of_mirrored_bodies(arrays, save, camera):
    """Two cameras look along a diagonal of the ground: their mirror exchanges its two axes, and left with right."""
    world = arrays.pop("positions_mm")[:, arrays.pop("index16_from17")].astype(np.float64)
    swap = np.array([0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 13, 14, 15, 10, 11, 12])
    mirrored = world.copy()
    for number in range(8):
        rows = arrays["sequence"] == number
        hips = world[rows, 0, :2]
        middle = (hips.min(axis=0) + hips.max(axis=0)) / 2  # where all cameras of the sequence aim
        mirrored[rows, :, :2] = (world[rows][..., :2] - middle)[..., ::-1] + middle
    config = get_task("pose/lifting", data_path=save(arrays | {"positions_mm": world}), group="true_mirror").config
    plain = read_motion_capture(save(arrays | {"positions_mm": world}))
    image = read_motion_capture(save(arrays | {"positions_mm": mirrored[:, swap]}))
    seen = np.arange(len(plain.pixels)) // FRAMES % 4 == camera
    action = RowAction(config, value_group(config).symmetries)
    first = torch.zeros(int(seen.sum()), dtype=torch.long)
    pixels, positions = (torch.from_numpy(array[seen]) for array in plain[:2])
    np.testing.assert_allclose(action.inputs(pixels, first), image.pixels[seen], atol=1e-3)
    np.testing.assert_allclose(action.labels(positions, first), image.positions[seen], atol=1e-2)
