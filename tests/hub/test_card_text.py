"""Whatever a config, a recipe, scores or a folder's name hold, a card shows as text: its structure stays the same."""

import json
import re
import shlex

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.evaluation.scores import Score, ScoreRecord
from asen_hf.hub._markdown import code, one_line, shell_word, shown
from asen_hf.hub.cards import write_card
from asen_hf.hub.uploads import push_task
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

PLAIN = "word"
PAYLOADS = {
    "html": "<script>alert(1)</script><img src=x onerror=y>",
    "comment": "<!-- a --> b <? c ?>",
    "heading": "a\n\n# Heading\n\nb\n===",
    "fence": "a\n```\nprint(1)\n```\n~~~\nb",
    "code": "a ` b `` c ``` d",
    "indented code": "a\n\n    print(1)",
    "front matter": "a\n---\nlicense: other\n---\nb",
    "jinja": "{{ 7 * 7 }}{% raw %}{# b #}",
    "table": "a | b | c\n| --- |",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~ ***",
    "links": "[a](http://b.org) ![c](d.png) <http://e.org> https://f.org www.g.org h@i.org [j]: k",
    "list": "- a\n1. b\n> c\n+ d",
    "math": "$a$ $$b$$ \\(c\\) \\[d\\]",
    "entities": "&lt;b&gt; &#60; &amp; \\* \\",
    "breaks": "a\r\nb\tc\x0bd\u2028e\x00f\u202e",
    "quotes": '" \' \\" $(touch x) `touch y`; touch z',
    "long": "a" * 900 + "| b",
}
MACHINE = ("platform", "python", "torch", "accelerator", "cpus", "threads")


def finished_run(path, text):
    """A finished run's folder with the text in every field that can hold any text."""
    torch.manual_seed(0)
    even = TaskConfig(group="A4", group_name=text, label_names=[text, "b"], orbital_names=[text, "b"], vocab_size=3)
    config = AsenConfig(tasks={"even": even, "ring": even}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    model = AsenForMultitask(config)
    model.save_pretrained(path)
    sources = [
        TaskRecipe(f"{text} ", dataset=text, task_config=text, inputs_columns=[text], group_name=text),
        TaskRecipe("ring", source=text, options={text: text, "data_path": text}),
    ]
    Recipe(ModelRecipe.of(model.config), sources, TrainingRecipe(output_dir=text)).write(path / "recipe.yaml")
    ScoreRecord("validation", 5, {}, 55, dict.fromkeys(MACHINE, text)).write(path / "scores.json")
    score = Score(2, 0.25, text, 0.5, details={f"{text} 1": 0.5}, references={f"{text} 2": 0.5})
    ScoreRecord(text, 5, {"even": score}).write(path / "test_scores.json")
    return path


@pytest.fixture(scope="module")
def plain_card(tmp_path_factory):
    return write_card(finished_run(tmp_path_factory.mktemp("plain") / PLAIN, PLAIN)).read_text(encoding="utf-8")


def parse(card):
    """The card's metadata, its blocks and inline elements, and its texts."""
    head, metadata, body = card.split("---\n", 2)
    assert head == ""
    tokens = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"]).parse(body)
    elements, texts = [], []
    for token in tokens:
        elements.append((token.type, token.tag, token.info))
        for child in token.children or []:
            if child.type in ("text", "code_inline", "softbreak"):
                texts.append(child.content or " ")
            else:
                elements.append((child.type, child.tag, str(child.attrs.get("href"))))
        texts.append(token.content if token.type == "fence" else "\n")
    return yaml.safe_load(metadata), elements, "".join(texts)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_changes_no_structure_and_is_shown(payload, plain_card, tmp_path):
    text = PAYLOADS[payload]
    name = re.sub(r"[/\0]", " ", text)[:60] if payload != "breaks" else "a\nb\r\tc"
    path = write_card(finished_run(tmp_path / name, text))
    card = path.read_text(encoding="utf-8")
    metadata, elements, texts = parse(card)
    expected = parse(plain_card)[1]
    assert elements == expected
    assert ModelCard.load(path).data.license == metadata["license"] == "apache-2.0"
    assert metadata.keys() == yaml.safe_load(plain_card.split("---\n")[1]).keys()
    assert texts.count(one_line(text)) >= 13  # 2 groups, 3 in the scores, split, 6 of the machine, the task's name
    assert not re.search(r"https?://(?!huggingface)|www\.", card.split("---\n", 2)[2].split("## Citation")[0])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_folders_name_is_one_argument_in_code_and_commands(payload, tmp_path):
    name = re.sub(r"[/\0]", " ", PAYLOADS[payload])[:60]
    card = write_card(finished_run(tmp_path / name, PLAIN)).read_text(encoding="utf-8")
    fences = [token.content for token in MarkdownIt().parse(card.split("---\n", 2)[2]) if token.type == "fence"]
    [load] = re.findall(r"AsenForMultitask\.from_pretrained\((.*)\)\n", fences[0])
    assert json.loads(load) == one_line(name)
    compile("\n".join(fences[:2]), "card", "exec")
    [command] = re.findall(r"^asen finetune .*$", "\n".join(fences), flags=re.MULTILINE)
    assert shlex.split(command)[3] == one_line(name)


@pytest.mark.parametrize("text", ["S_5 wr S_2", "C_10", "turns (order 24), 50%", "p_mpjpe 1.5e-07", "größe — 对称"])
def test_harmless_text_is_written_as_it_is(text):
    assert shown(text) == text
    assert code(PLAIN) == f"`{PLAIN}`" and shell_word(PLAIN) == PLAIN


@pytest.mark.parametrize("name", ["a\n## b", "a b", "../a", "a/b", "`a`", "", ".a", "a" * 3 + "\n"])
def test_a_dataset_is_not_pushed_under_a_name_that_is_no_file_name(name):
    if name:  # the empty name stands for the task's own
        with pytest.raises(ValueError, match="config_name consists of"):
            push_task("equivariant/cyclic_sum", "me/rows", config_name=name)
