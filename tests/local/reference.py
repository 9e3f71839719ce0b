"""Asks the transformers library what a model's next tokens are, in an environment that has it.

    python reference.py FOLDER < questions.json

FOLDER is a model of the Hugging Face kind. Questions: {"texts": [...], "chat": [message ...], "steps": N, "top": N}.
Prints, for each text and for the chat, the ids of its tokens and for each step of a greedy answer the token taken and the
log-probabilities of the most probable ones, in 32-bit floats and without a cache.
"""

import json
import sys

import torch
import transformers


def main(folder: str) -> None:
    questions = json.load(sys.stdin)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    chat = tokenizer.apply_chat_template(
        questions["chat"], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    answers = [
        {"text": text, **answered(model, tokenizer(text)["input_ids"], questions["steps"], questions["top"])}
        for text in [*questions["texts"], chat]
    ]
    versions = {"torch": torch.__version__.partition("+")[0], "transformers": transformers.__version__}
    print(json.dumps({"versions": versions, "answers": answers}))


@torch.no_grad()
def answered(model, ids: list[int], steps: int, top: int) -> dict:
    """The greedy answer to a prompt of these ids."""
    taken = []
    for _ in range(steps):
        so_far = torch.tensor([ids + [step["token"] for step in taken]])
        values, tokens = model(so_far, use_cache=False).logits[0, -1].log_softmax(-1).topk(top)
        pairs = zip(tokens.tolist(), values.tolist(), strict=True)
        taken.append({"token": int(tokens[0]), "top": {str(token): round(value, 6) for token, value in pairs}})
    return {"ids": ids, "steps": taken}


if __name__ == "__main__":
    main(sys.argv[1])
