"""Outputs of pairs: which brackets of a sequence match, learned from 200 sequences and their mirror images."""

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, get_task

if __name__ == "__main__":
    task = get_task("pairs/matching_brackets")  # read from behind, brackets are mirrored: a value symmetry
    model = AsenForMultitask(
        AsenConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, gated_messages=True)
    )
    result = asen_hf.finetune(
        model, task, name="brackets", output_dir="runs/brackets", overwrite=True, max_steps=300, lr=2e-3, train_rows=200
    )
    score = result.scores["brackets"]
    print(f"pairs that are wrong: network {1 - score.value:.2%}", end="")
    print("".join(f", {name} {1 - value:.2%}" for name, value in score.references.items()))

    text = "(()())())(()()"
    predicted = result.model.predict([["()".index(letter) for letter in text]], "brackets")[0]
    print(text)
    for opening, closing in predicted.triu().nonzero().tolist():
        print("".join("^" if place in (opening, closing) else " " for place in range(len(text))))
