"""Pretraining on a stream of random tasks: its batches, its objective, its runs."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, evaluate, finetune, pretrain
from asen_hf.commands.evaluate import main as evaluate_command
from asen_hf.data import collate
from asen_hf.data.registry import get_stream
from asen_hf.data.synthetic import prior_stream
from asen_hf.hub.cards import model_card
from asen_hf.model.read_out import fit_read_out, last_layer
from asen_hf.training._prior_start import start_from_prior
from asen_hf.training.recipe import Recipe
from asen_hf.training.stream import StreamWork, stream_model
from asen_hf.training.stream_objective import StreamObjective, to_tensors

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pooling": "mean"}
RECIPE = {
    "model": SIZE,
    "tasks": [{"name": "prior", "options": {"tasks_per_batch": 2}}],
    "training": {"max_steps": 4, "eval_steps": 2, "rows_per_task": 12, "lr": 0.01},
}


def new_objective():
    torch.manual_seed(0)
    return StreamObjective(AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True)).double(), "tasks")


def in_float64(episode):
    tensors = to_tensors(episode)
    return {
        key: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
        for key, value in tensors.items()
    }


def test_a_batch_is_the_same_whenever_it_is_asked_for_and_no_task_comes_twice():
    stream, again = (get_stream("prior", tasks_per_batch=3) for _ in range(2))
    batches = [stream.batch(index, 8, seed=1) for index in range(20)]
    for index in (19, 3):
        for first, second in zip(batches[index], again.batch(index, 8, seed=1), strict=True):
            assert first.task.words == second.task.words
            assert first.num_context == second.num_context
            np.testing.assert_array_equal(first.inputs, second.inputs)
            np.testing.assert_array_equal(first.labels, second.labels)
    numbers = [episode.task.number for batch in batches for episode in batch]
    assert len(set(numbers)) == len(numbers) == 60
    assert {episode.task.output for batch in batches for episode in batch} == {"node", "pair", "graph", "count"}
    others = [episode.task.words for episode in stream.batch(0, 8, seed=2)]
    assert others != [episode.task.words for episode in batches[0]]


def test_every_process_draws_the_rules_of_its_own_batches_only(monkeypatch):
    drawn = []
    draw = prior_stream.prior_task
    monkeypatch.setattr(prior_stream, "prior_task", lambda *key: drawn.append(key) or draw(*key))
    parts = []
    for process in range(2):
        prior_stream._windows.cache_clear()
        work = StreamWork(Recipe.from_dict(RECIPE))
        batches = [work.stream.batch(step * 2 + process, 8, seed=3) for step in range(8)]
        parts.append([(episode.task.number, 3) for batch in batches for episode in batch])
        assert drawn == parts[-1]
        drawn.clear()
    assert sorted(parts[0] + parts[1]) == [(number, 3) for number in range(32)]


def test_few_tasks_come_again_with_new_rows():
    stream = get_stream("prior", tasks_per_batch=2, num_tasks=5)
    episodes = [episode for index in range(16) for episode in stream.batch(index, 8, seed=0)]
    by_words = {}
    for episode in episodes:
        by_words.setdefault(episode.task.words + episode.task.structure.name, []).append(episode)
    assert len(by_words) <= 5
    first, second, *_ = max(by_words.values(), key=len)
    assert not np.array_equal(first.inputs, second.inputs)


@pytest.mark.parametrize("option", ["tasks_per_batch", "num_tasks"])
def test_options_of_the_stream_are_checked(option):
    with pytest.raises(ValueError, match=f"prior: {option} must be at least 1, got 0"):
        get_stream("prior", **{option: 0})
    with pytest.raises(ValueError, match="unknown option size"):
        get_stream("prior", size=3)
    with pytest.raises(ValueError, match="unknown stream 'posterior'; the known streams are prior"):
        get_stream("posterior")


def test_episodes_computed_together_are_those_computed_alone():
    objective = new_objective()
    episodes = [in_float64(episode) for episode in get_stream("prior", tasks_per_batch=6).batch(0, 10, seed=0)]
    together = objective.answers(episodes)
    for episode, found in zip(episodes, together, strict=True):
        [alone] = objective.answers([episode])
        torch.testing.assert_close(found.loss, alone.loss, rtol=1e-10, atol=1e-10)
    loss, losses = objective(episodes)
    torch.testing.assert_close(loss, torch.stack([answer.loss for answer in together]).mean())
    assert losses.keys() == {"tasks"}
    loss.backward()
    assert all(weight.grad is not None for weight in objective.parameters())


def test_the_states_of_pairs_are_those_that_a_new_head_reads():
    objective, stream = new_objective(), get_stream("prior", tasks_per_batch=8)
    episodes = [in_float64(episode) for index in range(4) for episode in stream.batch(index, 12, seed=0)]
    episode = next(episode for episode in episodes if episode["task"].output_level == "pair")
    [answers] = objective.answers([episode])
    assert 0 <= float(answers.accuracy) <= 1
    model = objective.model
    model.add_task("pairs", episode["task"], init_from="prior")
    shared, head = objective.embedder.pair_states, model.heads["pairs"]
    for name, weights in shared.state_dict().items():
        assert torch.equal(head.state_dict()[name], weights)
    head.target_projection.weight.data += 1
    assert not torch.equal(head.target_projection.weight, shared.target_projection.weight)


def test_regressions_alone_give_every_weight_a_gradient():
    stream, objective = get_stream("prior", tasks_per_batch=8), new_objective()
    episodes = [in_float64(episode) for index in range(4) for episode in stream.batch(index, 8, seed=0)]
    objective([episode for episode in episodes if episode["task"].is_regression])[0].backward()
    assert all(weight.grad is not None for weight in objective.parameters())


@pytest.mark.parametrize("samples", [5, 40])
def test_the_read_out_is_ridge_regression(samples):
    rng = np.random.default_rng(0)
    given, targets, asked = rng.normal(size=(samples, 16)), rng.normal(size=(samples, 2)), rng.normal(size=(7, 16))
    objective = new_objective()
    found = objective._ridge(*map(torch.from_numpy, (given, targets, asked))).detach().numpy()
    alpha = (
        float(objective.embedder.log_penalty.detach().exp()) * samples * np.square(given - given.mean(axis=0)).mean()
    )
    np.testing.assert_allclose(found, Ridge(alpha=alpha).fit(given, targets).predict(asked), atol=1e-9)


def test_labels_that_are_not_given_change_no_prediction_of_classes():
    objective = new_objective()
    for episode in get_stream("prior", tasks_per_batch=6).batch(1, 12, seed=0):
        tensors = in_float64(episode)
        if tensors["task"].is_regression:
            continue
        asked = tensors["labels"][episode.num_context :]
        swapped = {**tensors, "labels": torch.cat([tensors["labels"][: episode.num_context], 1 - asked])}
        [first], [second] = objective.answers([tensors]), objective.answers([swapped])
        torch.testing.assert_close(first.accuracy + second.accuracy, torch.ones(()))


def test_a_run_leaves_a_checkpoint_without_tasks_that_takes_any(tmp_path):
    result = pretrain(RECIPE, output_dir=str(tmp_path / "run"))
    score = result.scores["prior"]
    assert 0 < score.value < 1 and not result.model.training
    assert score.references.keys() == {"majority"}
    loaded = AsenForMultitask.from_pretrained(tmp_path / "run")
    assert loaded.config.tasks == {}
    card = str(model_card(str(tmp_path / "run")))
    assert "knows no task" in card
    assert "--init_from prior" in card
    inputs = np.random.default_rng(0).integers(3, size=(60, 6))
    task = {"group": "C6", "vocab_size": 3}
    tuned = finetune(tmp_path / "run", task, (inputs, (inputs == 1).astype(int)), init_from="prior", max_steps=2)
    assert tuned.scores["task"].value > 0.9
    written = json.loads((tmp_path / "run" / "test_scores.json").read_text())
    assert "accuracy from 5 rows" in written["scores"]["prior"]["details"]


def test_a_stream_is_reported_by_its_name_with_the_rows_whose_labels_were_asked_for():
    recipe = Recipe.from_dict({**RECIPE, "tasks": [{"name": "mine", "source": "prior"}]})
    work = StreamWork(recipe)
    model = stream_model(recipe)
    assert work.objective(model)(work.batch(0))[1].keys() == {"mine"}
    scores = work.validate(model)
    assert scores.keys() == {"mine"}
    batches = [work.stream.batch(index, 12, recipe.training.seed + 10**6) for index in range(12)]
    asked = [len(episode.labels) - episode.num_context for batch in batches for episode in batch]
    assert scores["mine"].rows == sum(asked) < 12 * len(asked)


def test_a_model_without_tasks_says_how_it_is_used(tmp_path):
    pretrain(RECIPE, output_dir=str(tmp_path / "run"))
    inputs = np.zeros((2, 6), dtype=int)
    message = r"no task yet: predict from labelled rows, predict\(.*context=.*or finetune it on one.*init_from"
    for call in (
        lambda: evaluate(tmp_path / "run"),
        lambda: evaluate(tmp_path / "run", (inputs, inputs)),
        lambda: evaluate(tmp_path / "run", task="ring"),
        lambda: evaluate_command([str(tmp_path / "run")]),
        lambda: AsenForMultitask.from_pretrained(tmp_path / "run").predict(inputs),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"no task yet: finetune it on one$"):
        AsenForMultitask(AsenConfig(**SIZE)).predict(inputs)


@pytest.mark.parametrize("how", [{"init_from": "prior"}, {}, {"keep_tasks": True}, {"from_scratch": True}])
def test_a_finetuned_model_has_no_embedder_of_the_backbone_that_it_left_behind(tmp_path, how):
    model = AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True))
    inputs = np.random.default_rng(0).integers(3, size=(60, 6))
    task = {"group": "C6", "vocab_size": 3}
    run = tmp_path / "run"
    finetune(model, task, (inputs, (inputs == 1).astype(int)), name="ones", max_steps=1, output_dir=run, **how)
    tuned = AsenForMultitask.from_pretrained(run)
    assert not tuned.config.structure_embedder
    assert not any("structure_embedder" in key for key in load_file(run / "model.safetensors"))
    assert "structure_embedder" not in (run / "recipe.yaml").read_text()
    with pytest.raises(ValueError, match="pretrained on random tasks and not finetuned since"):
        tuned.add_task("twos", task, init_from="prior")
    assert model.config.structure_embedder  # the given model is not changed
    model.add_task("ones", task, init_from="prior")


def test_only_a_stream_makes_and_trains_an_embedder():
    with pytest.raises(ValueError, match="structure_embedder"):
        Recipe.from_dict({**RECIPE, "model": {**SIZE, "structure_embedder": True}})
    ordinary = Recipe.from_dict({"model": SIZE, "tasks": [{"name": "equivariant/palindrome"}]})
    assert not ordinary.model.config().structure_embedder
    model = stream_model(Recipe.from_dict(RECIPE))
    objective = StreamObjective(model, "tasks")
    objective([to_tensors(episode) for episode in get_stream("prior").batch(0, 8, seed=0)])[0].backward()
    assert all(weight.grad is not None for weight in model.asen.structure_embedder.parameters())


def test_a_resumed_run_ends_with_the_weights_of_one_that_went_through(tmp_path, monkeypatch):
    monkeypatch.setattr("asen_hf.training._run.remove_checkpoint", lambda _: None)  # keep that of step 2
    pretrain(RECIPE, output_dir=str(tmp_path / "whole"))
    halfway = str(tmp_path / "whole" / "checkpoint-2")
    pretrain(RECIPE, output_dir=str(tmp_path / "resumed"), resume_from_checkpoint=halfway)
    whole, resumed = (
        AsenForMultitask.from_pretrained(tmp_path / name / "checkpoint-4").state_dict() for name in ("whole", "resumed")
    )
    assert all(torch.equal(tensor, resumed[key]) for key, tensor in whole.items())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tasks": [{"name": "prior"}, {"name": "equivariant/palindrome"}]}, "pretrained on alone"),
        ({"tasks": [{"name": "prior", "num_rows": 10}]}, "num_rows is not for a stream"),
        ({"tasks": [{"name": "prior", "options": {"size": 1}}]}, "task 'prior'.*unknown option size"),
        ({"training": {"num_epochs": 1.0}}, "has no end: say max_steps"),
    ],
)
def test_recipes_that_a_stream_cannot_serve_are_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        pretrain(Recipe.from_dict({**RECIPE, **changes}), output_dir=str(tmp_path / "run"))


def test_a_run_that_died_after_its_fitted_start_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("asen_hf.training._run.remove_checkpoint", lambda _: None)
    model = AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True))
    inputs = np.random.default_rng(0).integers(3, size=(60, 6))
    rows, task = (inputs, (inputs == 1).astype(int)), {"group": "C6", "vocab_size": 3}
    more = {"init_from": "prior", "max_steps": 2, "eval_steps": 1, "seed": 3}
    whole = finetune(model, task, rows, output_dir=tmp_path / "whole", **more)
    start = str(tmp_path / "whole" / "checkpoint-0")

    def refuse(*arguments):
        raise AssertionError("a resumed run has its fitted weights from the checkpoint")

    for fit in ("start_from_prior", "fit_linear_skips"):
        monkeypatch.setattr(f"asen_hf.training.work.{fit}", refuse)
    resumed = finetune(model, task, rows, output_dir=tmp_path / "resumed", resume_from_checkpoint=start, **more)
    last = [AsenForMultitask.from_pretrained(tmp_path / name / "checkpoint-2") for name in ("whole", "resumed")]
    assert all(torch.equal(tensor, last[1].state_dict()[key]) for key, tensor in last[0].state_dict().items())
    assert whole.scores == resumed.scores


@pytest.mark.parametrize("eval_steps", [1, 2])
def test_with_a_single_validation_there_is_no_fitted_start_to_choose(tmp_path, capsys, eval_steps):
    model = AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True))
    inputs = np.random.default_rng(0).integers(3, size=(60, 6))
    rows, task = (inputs, (inputs == 1).astype(int)), {"group": "C6", "vocab_size": 3}
    finetune(model, task, rows, output_dir=tmp_path, init_from="prior", max_steps=2, eval_steps=eval_steps)
    printed = capsys.readouterr().out
    assert [f"step {step}:" in printed for step in (0, 1, 2)] == [eval_steps == 1, eval_steps == 1, True]


@pytest.mark.parametrize("output", ["node", "pair"])
def test_finetuning_starts_from_rows_that_differ_and_from_a_head_that_leaves_much_to_learn(output):
    task = TaskConfig(group="C6", vocab_size=3, relations=["equal"], output_level=output)
    model = AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True))
    model.add_task("t", task, init_from="prior")
    computed = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    fresh = last_layer(model, "t").weight.clone()
    inputs = torch.randint(3, (40, 6))
    labels = (inputs == 1).long() if output == "node" else (inputs[:, :, None] == inputs[:, None]).long()
    rows = Dataset.from_dict({"inputs": inputs.numpy(), "labels": labels.numpy()}).with_format("torch")
    start_from_prior(model, {"t": model.config.tasks["t"]}, {"t": rows}, batch_size=16)
    for table in ("edge_embedders", "token_embedders"):
        codes = model.state_dict()[f"asen.{table}.t.weight"] - computed[f"asen.{table}.t.weight"]
        assert 0.7 < codes.std() < 1.3
        assert (torch.corrcoef(codes) - torch.eye(len(codes))).abs().max() < 0.95
    inside = [key for key in computed if "backbone" in key or "heads.t.source" in key]
    assert inside and all(torch.equal(model.state_dict()[key], computed[key]) for key in inside)
    model.eval()
    started, head = model(inputs, "t").logits, last_layer(model, "t").weight.clone()
    torch.testing.assert_close(head.norm(), fresh.norm())
    fit_read_out(model, "t", collate(model.config.tasks["t"], rows))
    factor = head.norm() / last_layer(model, "t").weight.norm()
    torch.testing.assert_close(started, model(inputs, "t").logits * factor)
    assert factor < 0.5


@pytest.mark.parametrize("labels", ["one class", "chance"])
def test_a_head_that_labels_say_nothing_about_starts_small(labels):
    model = AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True))
    model.add_task("t", {"group": "C6", "vocab_size": 3, "num_labels": 2}, init_from="prior")
    fresh = last_layer(model, "t").weight.norm().item()
    rng = np.random.default_rng(0)
    inputs, classes = rng.integers(3, size=(60, 6)), rng.integers(1 if labels == "one class" else 2, size=(60, 6))
    rows = Dataset.from_dict({"inputs": inputs, "labels": classes}).with_format("torch")
    start_from_prior(model, {"t": model.config.tasks["t"]}, {"t": rows}, batch_size=16)
    head = last_layer(model, "t")
    assert head.weight.norm() <= fresh * (1 + 1e-6)
    assert head.bias.abs().max() < 10  # a share of a class, times the scale e² of an untrained embedder
