"""Value symmetries in plain loops over the entries as people write them: no value maps, no cosets, no torch."""

import numpy as np


def generators_of(task):
    """Every generator of a task's whole group as an entry of ``value_symmetries``."""
    return [*({"points": cycles} for cycles in task.generators), *task.value_symmetries]


def images_of(entry, degree):
    images = list(range(degree))
    for cycle in entry.get("points", []):
        for position, point in enumerate(cycle):
            images[point] = cycle[(position + 1) % len(cycle)]
    return images


def _list_at(lists, node):
    return lists[node] if lists and isinstance(lists[0], list) else lists


def _permuted_places(values, images):
    """What stood at place c stands at place images[c]."""
    new = list(values)
    for place, image in enumerate(images or []):
        new[image] = values[place]
    return new


def _signed(values, entries):
    return [np.sign(entry) * values[abs(entry) - 1] for entry in entries] if entries else list(values)


def move_inputs(task, entry, inputs):
    """One row of inputs in raw units, moved by a generator: ``(n,)`` tokens or ``(n, F)`` features."""
    new = inputs.copy()
    mean = np.zeros(task.num_features or 1) + (0 if task.input_mean is None else task.input_mean)
    for node, image in enumerate(images_of(entry, task.degree)):
        action = _list_at(entry.get("inputs"), node)
        if task.num_features is None:
            token = int(inputs[node])
            new[image] = action[token] if action and token >= 0 else token
        else:
            new[image] = mean + _signed(inputs[node] - mean, action)
    return new


def move_logits(task, entry, logits):
    """One row of logits, ``(n, K)`` or ``(K,)``, moved by a generator."""
    change = _signed if task.is_regression else _permuted_places
    if task.output_level == "graph":
        return np.array(change(logits, entry.get("outputs")))
    new = logits.copy()
    for node, image in enumerate(images_of(entry, task.degree)):
        new[image] = change(logits[node], _list_at(entry.get("outputs"), node))
    return new


def move_values(task, entry, values, inputs):
    """One row of regressed values in raw units, in the shape ``(n, K)`` or ``(K,)``, whose inputs are ``inputs``."""

    def origin(row):
        mean = np.zeros(task.output_size) + (0 if task.label_mean is None else task.label_mean)
        return mean if task.residual_feature is None else mean + row[:, [task.residual_feature]]

    return move_logits(task, entry, values - origin(inputs)) + origin(move_inputs(task, entry, inputs))


def all_words(task, most=2000):
    """A word in the generators for every element of the whole group: the numbers of the generators, first one first."""
    generators = generators_of(task)
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(task.degree, task.output_size) if task.output_level == "node" else task.output_size)
    if task.num_features is None:  # one row per token, so that every node shows what becomes of every token
        rows = np.tile(np.arange(task.vocab_size)[:, None], (1, task.degree))
    else:
        rows = rng.normal(size=(1, task.degree, task.num_features))
    # Distinct marks on the points show where they go, whatever happens to their values.
    start = (rows, outputs, np.arange(task.degree))
    seen, queue = {_key(start): ()}, [((), start)]
    for word, (rows, outputs, points) in queue:
        for number, entry in enumerate(generators):
            moved = np.empty_like(points)
            moved[images_of(entry, task.degree)] = points
            image = (
                np.stack([move_inputs(task, entry, row) for row in rows]),
                move_logits(task, entry, outputs),
                moved,
            )
            if _key(image) not in seen:
                seen[_key(image)] = (*word, number)
                queue.append(((*word, number), image))
                assert len(queue) <= most
    return list(seen.values())


def _key(arrays):
    return b"".join(np.round(np.asarray(array, dtype=float), 9).tobytes() for array in arrays)
