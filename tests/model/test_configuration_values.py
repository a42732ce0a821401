"""Values of configs: plain JSON whatever was given, shared with nothing, bounded; no keyword is ignored."""

import copy
import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import torch
from transformers import PreTrainedConfig

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.configuration_asen import _INHERITED_KEYS, MAX_TASKS
from asen_hf.model.configuration_values import MAX_NESTING, MAX_TEXT
from tests.conftest import make_model

TOKENS = {"degree": 4, "vocab_size": 3}
# For every field of a task, settings in which it has a value of each kind that it can have.
TASKS = [
    {
        **{"degree": 4, "generators": [[[0, 1], [2, 3]], [[0, 2]]], "group_name": "D_4"},
        **{"edges": [[0, 1], [1, 0], [3, 3]], "support": "sparse", "symmetry_breaking": "nodes", "point_order": "ring"},
        **{"node_coordinates": [[-118.25, 34.0], [0.0, 1e3], [0.5, 1e3], [-1.0, -1.0]], "num_features": 2},
        **{"output_level": "node", "problem_type": "regression", "num_labels": 2, "label_names": ["speed", "flow"]},
        **{"input_mean": [0.5, -1.0], "input_scale": 2.0, "label_mean": 3.0, "label_scale": [0.25, 4.0]},
        **{"residual_feature": 1, "loss": "mse", "metric": "mae"},
    },
    {**TOKENS, "orbital_names": ["a"] * 16, "num_labels": 5, "class_weights": [1.0, 0.5, 2.0, 1.0, 0.25]},
    {**TOKENS, "output_level": "graph", "pooling": "max", "pool_by_orbit": True},
    {**TOKENS, "soft_group": [[[0, 1, 2, 3]]]},
    {
        **TOKENS,
        "relations": ["order", "sum"],
        "shared_rows": True,
        "shared_token_embedding": True,
        "partner_counts": True,
    },
    {**TOKENS, "output_level": "pair", "symmetric_outputs": True, "pair_vocab_size": 3},
    {**TOKENS, "pair_features": 2, "pair_buckets": 3, "pair_quantiles": [[0.0, 1.0], [0.5, 1.5]]},
    {"degree": 4, "num_features": 1, "problem_type": "regression", "linear_skip": True, "input_names": list("abcd")},
    {
        **{"degree": 4, "num_features": 2, "output_level": "graph", "symmetrization": "lift"},
        "value_symmetries": [{"name": "mirror", "points": [[0, 1]], "inputs": [[-1, 2]] * 4, "outputs": [1, 0]}],
    },
]
BACKBONE = {
    **{"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "negative_slope": 0.25, "pooling": "mean"},
    **{"num_recurrences": 2, "hidden_dropout_prob": 0.5, "layer_norm_eps": 1e-5, "gated_messages": True},
    "backbone_type": "gatv2",
    "hidden_act": "silu",
    "structure_embedder": True,
}


def as_numpy(value):
    return np.array(value) if isinstance(value, list) else np.array(value)[()]


def as_tensor(value):
    return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)


def as_tuple(value):
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


def values_of_every_field():
    for number, settings in enumerate(TASKS):
        for field, value in settings.items():
            kinds = [as_tuple]
            if field != "generators":  # cycles of different lengths are no array
                kinds.append(as_numpy)
                kinds += [as_tensor] if np.issubdtype(np.array(value).dtype, np.number) else []
            yield from (
                pytest.param(TaskConfig, settings, field, kind, id=f"{number}-{field}-{kind.__name__}")
                for kind in kinds
            )
    for field in BACKBONE:
        yield pytest.param(AsenConfig, BACKBONE, field, as_numpy, id=f"{field}-as_numpy")


@pytest.mark.parametrize(("cls", "settings", "field", "kind"), list(values_of_every_field()))
def test_numpy_values_tensors_and_tuples_become_plain_json(cls, settings, field, kind):
    given = kind(settings[field])
    built = cls(**{**settings, field: given})
    assert built.to_dict() == cls(**settings).to_dict()
    assert json.loads(json.dumps(built.to_dict())) == json.loads(json.dumps(cls(**settings).to_dict()))
    assigned = cls(**settings)
    setattr(assigned, field, given)
    assert assigned.to_dict() == built.to_dict() and type(getattr(assigned, field)) is type(settings[field])


def test_every_field_has_values_above():
    fields = {field.name for field in dataclasses.fields(TaskConfig)}
    assert fields <= {field for settings in TASKS for field in settings}
    own = set(AsenConfig.__annotations__) - {"model_type", "tasks"}
    assert own == BACKBONE.keys()


def test_numbers_and_points_inside_lists_become_plain_too():
    points = list(np.array([0, 1], dtype=np.int16))
    task = TaskConfig(**TOKENS, edges=[np.array([0, 1])], generators=[[points]])
    assert type(task.generators[0][0][0]) is type(task.edges[0][1]) is int
    scale = TaskConfig(
        degree=2, num_features=2, problem_type="regression", input_scale=[np.float32(0.1), np.longdouble(2)]
    )
    assert json.dumps(scale.to_dict()) and [type(value) for value in scale.input_scale] == [float, float]


IDS = ["features", "tokens", "graph", "soft group", "relations", "pairs", "pair numbers", "linear", "values"]


@pytest.mark.parametrize("settings", TASKS, ids=IDS)
def test_a_config_shares_no_value_with_whom_it_came_from(settings):
    """Lists, dicts and TaskConfigs that are changed afterwards change nothing in a config or a model."""
    given = copy.deepcopy(settings)
    task = TaskConfig(**given)
    tasks = {"a": task, "b": task, "c": given}
    config = AsenConfig(tasks=tasks, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    config.add_task("d", task)
    config.add_task("e", given)
    models = [AsenForMultitask(config), AsenForMultitask(config), AsenModel(config)]
    for model in models:
        model.add_task("f", task)
        model.add_task("g", given)
    before = [one.to_json_string() for one in (config, *(model.config for model in models))]
    for value in given.values():
        if isinstance(value, list):
            value.clear()
    for field in (task.generators, task.label_names, task.orbital_names, task.edges, task.input_mean):
        if isinstance(field, list):
            field.append("changed")
    task.group_name = "changed"
    tasks.clear()
    assert [one.to_json_string() for one in (config, *(model.config for model in models))] == before
    config.tasks["a"].group_name = "changed"
    config.drop_task("b")
    models[0].config.tasks["f"].group_name = "changed"
    models[0].drop_task("g")
    assert [one.config.to_json_string() for one in models[1:]] == before[2:]
    own = [id(task) for one in (config, *(model.config for model in models)) for task in one.tasks.values()]
    assert len(own) == len(set(own))


# PreTrainedConfig's fields and the keywords that it takes besides: a value that has an effect, or one that is refused.
WORKS = {
    **{"architectures": ["AsenModel"], "attn_implementation": "eager", "_attn_implementation": "eager"},
    **{"dtype": "float16", "torch_dtype": "bfloat16", "name_or_path": "here", "_name_or_path": "here"},
    **{"output_attentions": True, "output_hidden_states": True, "return_dict": False, "transformers_version": "4.0"},
    **{"auto_map": {"AutoConfig": "configuration_asen.AsenConfig"}, "quantization_config": {"quant_method": "none"}},
    **{"model_type": "asen"},
}
REFUSED = {
    **{
        "chunk_size_feed_forward": 3,
        "experts_implementation": "grouped_mm",
        "id2label": {0: "a"},
        "label2id": {"a": 0},
    },
    **{"is_encoder_decoder": True, "num_labels": 5, "problem_type": "regression", "tie_word_embeddings": True},
    **{"use_cache": True, "hiden_size": 8, "vocab_size": 3, "_commit_hash": "0123abc", "revision_": "main"},
}


def test_every_inherited_keyword_is_decided():
    fields = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    assert fields | _INHERITED_KEYS == (WORKS.keys() | REFUSED.keys()) - {
        *("hiden_size", "vocab_size", "_commit_hash", "revision_")
    }


@pytest.mark.parametrize("key", WORKS)
def test_an_inherited_keyword_takes_effect(key):
    config, default = AsenConfig(**{key: WORKS[key]}), AsenConfig()
    read = {"attn_implementation": "_attn_implementation", "torch_dtype": "dtype"}.get(key, key)
    value = getattr(config, read)
    assert str(value).removeprefix("torch.") == str(WORKS[key])
    assert key == "model_type" or value != getattr(default, read, None)


@pytest.mark.parametrize("key", REFUSED)
def test_a_keyword_without_effect_is_refused_wherever_it_is_given(key, tmp_path):
    make_model({"a": TOKENS}, hidden_size=8).save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    setting = {key: REFUSED[key]}
    ways = [
        lambda: AsenConfig(**setting),
        lambda: AsenConfig.from_dict({**fields, **setting}),
        lambda: AsenConfig.from_dict(fields, **setting),
        lambda: AsenConfig.from_pretrained(tmp_path, **setting),
    ]
    for way in ways:
        with pytest.raises(ValueError, match=rf"{key} has no effect in AsenConfig|AsenConfig has no {key}; it has"):
            way()
    if key == "_commit_hash":  # transformers takes it for older callers, and asks the Hub for the commit itself
        return
    for cls in (AsenModel, AsenForMultitask):  # a keyword that is none of the config's goes to the constructor
        with pytest.raises((ValueError, TypeError), match=key):
            cls.from_pretrained(tmp_path, **setting)


@pytest.mark.parametrize(("key", "value"), [("from_tf", True), ("from_flax", True)])
def test_an_argument_of_loading_that_cannot_work_is_refused(key, value, tmp_path):
    make_model({"a": TOKENS}, hidden_size=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"cannot take {key}={value}"):
        AsenForMultitask.from_pretrained(tmp_path, **{key: value})
    AsenForMultitask.from_pretrained(tmp_path, **{key: not value})


def test_what_libraries_set_on_a_config_is_not_saved_and_loads_again(tmp_path):
    config = AsenConfig(tasks={"a": TOKENS})
    config.use_cache, config.tie_word_embeddings, config.num_labels, config.problem_type = True, True, 7, "regression"
    config.save_pretrained(tmp_path)
    assert AsenConfig.from_pretrained(tmp_path).tasks == config.tasks


@pytest.mark.parametrize(
    ("overriding", "message"),
    [
        ({"hidden_dropout_prob": 2.0}, "hidden_dropout_prob must be in"),
        ({"num_attention_heads": 3}, "must divide"),
        ({"tasks": {"a(": TOKENS}}, "a task's name"),
        ({"tasks": {"a": {**TOKENS, "degree": -1}}}, "degree must be"),
        ({"pooling": "min"}, "pooling"),
    ],
)
def test_a_field_that_overrides_a_loaded_one_is_checked_as_any(overriding, message, tmp_path):
    make_model({"a": TOKENS}, hidden_size=8).save_pretrained(tmp_path)
    for cls in (AsenConfig, AsenModel, AsenForMultitask):
        with pytest.raises(ValueError, match=message):
            cls.from_pretrained(tmp_path, **overriding)
    assert AsenConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.25).hidden_dropout_prob == 0.25
    assert AsenConfig.from_pretrained(tmp_path, tasks={}).tasks == {}


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def endless():
    value = []
    value.append(value)
    return value


HUGE = 10**5000
TOO_LARGE = [
    *((AsenConfig, {field: value}) for field in BACKBONE for value in (HUGE, -HUGE, 2**62, -(2**62), 1e400, -1e400)),
    *((AsenConfig, {field: value}) for field in BACKBONE for value in (float("nan"), nested(10**4), "x" * 10**6)),
    *((AsenConfig, {field: True}) for field in BACKBONE if BACKBONE[field] is not True),
    (AsenConfig, {"hidden_size": 2**16}),
    (AsenConfig, {"hidden_size": 2**12, "num_hidden_layers": 2**10}),
    (AsenConfig, {"tasks": {f"t{number}": TOKENS for number in range(MAX_TASKS + 1)}}),
    (AsenConfig, {"tasks": {"x" * 10**6: TOKENS}}),
    (AsenConfig, {"tasks": {"a": {**TOKENS, "vocab_size": 2**24}}}),
    *(
        (TaskConfig, {**TOKENS, field: value})
        for field in (field.name for field in dataclasses.fields(TaskConfig))
        for value in (
            HUGE,
            -HUGE,
            nested(MAX_NESTING + 1),
            nested(10**4),
            endless(),
            "x" * (MAX_TEXT + 1),
            ["x" * 10**6],
        )
    ),
    *((TaskConfig, {**TOKENS, field: 2**62}) for field in ("degree", "vocab_size", "num_labels", "residual_feature")),
    (TaskConfig, {"degree": 4, "num_features": 2**62, "problem_type": "regression"}),
    (TaskConfig, {**TOKENS, "label_names": [str(number) for number in range(10**4)], "num_labels": 3}),
]


@pytest.mark.parametrize("number", range(len(TOO_LARGE)))
def test_what_is_too_large_or_too_deep_is_refused_at_once_without_memory(number):
    cls, fields = TOO_LARGE[number]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            cls(**fields)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 2_000


def test_a_table_of_orbitals_that_would_fill_the_memory_is_refused_before_it_is_made():
    points = {"degree": 2_000, "vocab_size": 2}  # the trivial group has 4 million orbitals
    for cls in (AsenModel, AsenForMultitask):
        model = make_model({}, cls=cls, hidden_size=1024, num_hidden_layers=1)
        with pytest.raises(ValueError, match="MAX_WEIGHTS"):
            model.add_task("a", points)
        assert not model.config.tasks
        with pytest.raises(ValueError, match="MAX_WEIGHTS"):
            cls(AsenConfig(tasks={"a": points}, hidden_size=1024))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"tasks": ' + "[" * 10**5 + "]" * 10**5 + "}", "nested too deep"),
        (
            '{"tasks": {"a": {"degree": 3, "vocab_size": 2, "generators": ' + "[" * 100 + "]" * 100 + "}}}",
            "nested more than",
        ),
        ("[1, 2]", "must be a JSON object, got list"),
        ("3", "must be a JSON object, got int"),
        ('{"hidden_size": 1e999}', "hidden_size"),
        ('{"hidden_size": ' + "9" * 4000 + "}", "beyond 64 bits"),
        ('{"layer_norm_eps": NaN}', "layer_norm_eps"),
        ('{"tasks": {"a": {"degree": 3, "vocab_size": 2, "1": 1}}}', "task 'a'.*'1'"),
        ('{"model_type": "bert"}', "model_type must be 'asen'"),
        ('{"dtype": "save"}', "dtype must be"),
        ('{"dtype": "int8"}', "dtype must be"),
    ],
)
def test_a_foreign_config_json_is_refused_with_a_sentence(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text)
    for cls in (AsenConfig, AsenModel, AsenForMultitask):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            cls.from_pretrained(tmp_path)


def test_a_long_group_text_is_shortened_where_it_becomes_a_name():
    text = " x ".join(["S2"] * 400)
    task = TaskConfig(group=text, vocab_size=2)
    assert task.degree == 800 and len(task.group_name) == MAX_TEXT and task.group_name.endswith("…")
    assert TaskConfig(**task.to_dict()) == task
