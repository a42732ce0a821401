"""Estimators on a network that was pretrained on random tasks: heads by ridge regression, and finetuning from there."""

import numpy as np
import pytest
import torch

from asen_hf import AsenClassifier, AsenConfig, AsenForMultitask, AsenRegressor, TaskConfig


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "pooling": "mean"}
    return AsenForMultitask(AsenConfig(**size, structure_embedder=True))


@pytest.fixture(scope="module")
def rows():
    tokens = np.random.default_rng(0).integers(4, size=(80, 6))
    return tokens, np.where(tokens == 2, "two", "other")


def test_a_head_is_fitted_without_a_gradient_step_and_follows_the_group(pretrained, rows):
    tokens, _ = rows
    labels = tokens > np.roll(tokens, 1, axis=1)
    options = {"checkpoint": pretrained, "init_from": "prior", "vocab_size": 4, "output_level": "node"}
    model = AsenClassifier("C6", **options, strategy="in_context", random_state=0).fit(tokens, labels)
    assert model.score(tokens, labels) > max(labels.mean(), 1 - labels.mean()) + 0.1
    turned = model.predict_proba(np.roll(tokens, 1, axis=1))
    np.testing.assert_allclose(turned, np.roll(model.predict_proba(tokens), 1, axis=1), atol=1e-5)
    assert not np.allclose(model.predict_proba(tokens[:, ::-1]), model.predict_proba(tokens)[:, ::-1], atol=1e-3)
    [fitted] = model.models_
    for key, tensor in pretrained.asen.backbone.state_dict().items():
        assert torch.equal(tensor, fitted.asen.backbone.state_dict()[key])


def test_finetuning_from_the_prior_keeps_the_fitted_head_where_training_does_not_help(pretrained, rows):
    tokens, labels = rows
    options = {"checkpoint": pretrained, "vocab_size": 4, "max_steps": 1, "learning_rate": 1e-9, "random_state": 0}
    assert AsenClassifier("C6", **options, init_from="prior").fit(tokens, labels).score(tokens, labels) > 0.95
    assert AsenClassifier("C6", **options).fit(tokens, labels).score(tokens, labels) < 0.95


def test_a_regression_of_one_number_per_row(pretrained):
    numbers = np.random.default_rng(0).normal(2.0, 3.0, size=(60, 5))
    options = {"checkpoint": pretrained, "init_from": "prior", "strategy": "in_context", "random_state": 0}
    model = AsenRegressor("S5", **options).fit(numbers, numbers.mean(axis=1))
    assert model.score(numbers, numbers.mean(axis=1)) > 0.9
    np.testing.assert_allclose(model.predict(numbers[:, ::-1]), model.predict(numbers), atol=1e-4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strategy": "context"}, "strategy must be 'finetune' or 'in_context', got 'context'"),
        ({"strategy": "in_context"}, "give checkpoint too"),
        ({"strategy": "in_context", "checkpoint": ..., "class_weight": "balanced"}, "takes no weights"),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_refused(pretrained, rows, options, message):
    options = {key: pretrained if value is ... else value for key, value in options.items()}
    with pytest.raises(ValueError, match=message):
        AsenClassifier("C6", vocab_size=4, **options, init_from="prior" if "checkpoint" in options else None).fit(*rows)


def test_a_checkpoint_without_an_embedder_has_no_prior(rows):
    plain = AsenForMultitask(AsenConfig(tasks={"ring": TaskConfig(group="C6", vocab_size=4)}, hidden_size=16))
    with pytest.raises(ValueError, match="pretrained on random tasks"):
        AsenClassifier("C6", vocab_size=4, checkpoint=plain, init_from="prior").fit(*rows)


def test_a_head_fitted_in_context_reads_the_rows_of_the_prior_by_default(pretrained, rows):
    options = {"checkpoint": pretrained, "vocab_size": 4, "strategy": "in_context", "random_state": 0}
    found, expected = (
        AsenClassifier("C6", **options, **start).fit(*rows).predict_proba(rows[0])
        for start in ({}, {"init_from": "prior"})
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("tasks", [[], ["ring"], ["task"]], ids=str)
def test_a_head_is_not_fitted_to_random_rows(rows, tasks):
    other = {name: TaskConfig(group="D6", vocab_size=4) for name in tasks}
    plain = AsenForMultitask(AsenConfig(tasks=other, hidden_size=16))
    model = AsenClassifier("C6", vocab_size=4, checkpoint=plain, strategy="in_context")
    with pytest.raises(ValueError, match="pretrained on random tasks"):
        model.fit(*rows)
    with pytest.raises(ValueError, match="pretrained on random tasks"):
        plain.predict(rows[0], TaskConfig(group="C6", vocab_size=4), context=(rows[0], rows[0] % 2))


def test_a_head_is_fitted_to_the_rows_of_the_checkpoints_own_task_or_of_a_donor(rows):
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 2, "random_state": 0}
    trained = AsenClassifier("C6", vocab_size=4, **size).fit(*rows).models_[0]
    for name, start in {"task": None, "ring": "ring"}.items():
        donor = AsenForMultitask(AsenConfig.from_dict(trained.config.to_dict()))
        donor.load_state_dict(trained.state_dict())
        if name != "task":
            donor.rename_task("task", name)
        options = {"checkpoint": donor, "init_from": start, "strategy": "in_context", "vocab_size": 4}
        [fitted] = AsenClassifier("C6", **options).fit(*rows).models_
        assert torch.equal(fitted.asen.edge_embedders["task"].weight, trained.asen.edge_embedders["task"].weight)


def test_a_saved_in_context_estimator_is_a_checkpoint_for_another_group(pretrained, rows):
    options = {"vocab_size": 4, "strategy": "in_context", "random_state": 0}
    [first] = AsenClassifier("C6", checkpoint=pretrained, **options).fit(*rows).models_
    again = AsenClassifier("D6", checkpoint=first, **options).fit(*rows)
    expected = AsenClassifier("D6", checkpoint=pretrained, **options).fit(*rows)
    np.testing.assert_allclose(again.predict_proba(rows[0]), expected.predict_proba(rows[0]), atol=1e-6)
