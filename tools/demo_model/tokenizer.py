# pyright: basic, reportMissingImports=false, reportUnknownMemberType=false
# The package tokenizers is installed for training only.
"""Make the vocabulary: `python tools/demo_model/tokenizer.py OUT_DIR [--start OLDER/tokenizer.json]`.

Byte-level BPE under Qwen's pre-tokenizer, with two rules that make copying easy for a small model: every Chinese
character stands alone, and a name is cut the same way whatever stands before it. `--start` keeps an older vocabulary
and leaves out the merges that break the rules; otherwise one is learnt from the corpus.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import corpus
import values
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SIZE = 8192
# As Qwen3 has them. The first line steers and is never text.
CONTROL = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"""
ADDED = """<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
<tool_response> </tool_response> <think> </think>"""
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Cuts finer than the pattern, so that no merge is learnt across: a character, a word, a small word with its blank.
FINER = r"[^\x00-\x7f]|[ _]?[a-z]+|[A-Za-z]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


def learnt(chance: Random, conversations: int) -> Tokenizer:
    """A vocabulary from so many conversations, with the common characters and the places."""

    def texts() -> Iterator[str]:
        for _ in range(conversations):
            yield corpus.conversation(chance).text
        for _ in range(100):
            yield from values.COMMON
        for _ in range(20):
            yield from values.PLACES["en"]

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _cut(FINER)
    size = SIZE - len(CONTROL.split()) - len(ADDED.split())
    tokenizer.train_from_iterator(
        texts(),
        trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
            special_tokens=[],
        ),
    )
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _cut(PATTERN)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in CONTROL.split()])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ADDED.split()])
    return tokenizer


def _cut(pattern: str) -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def mended(older: Path) -> Tokenizer:
    """The older vocabulary; a token that can no longer be made stays without use."""
    document = json.loads(older.read_text("utf-8"))
    pairs = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in document["model"]["merges"]]
    document["model"]["merges"] = [list(pair) for pair in pairs if _kept(decoders.ByteLevel(), "".join(pair))]
    return Tokenizer.from_str(json.dumps(document, ensure_ascii=False))


def _kept(decoder: decoders.ByteLevel, token: str) -> bool:
    """A part of one character, or Latin text without a capital letter after something else."""
    text = decoder.decode([token])
    if any("\xc0" <= letter <= "\xff" for letter in token[1:]):
        return False  # another character begins inside
    if not text.isascii():
        return len(text) == 1 or set(text) == {"\ufffd"}
    return len(text) == 1 or text[0].isalpha() or text == text.lower()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make the demo model's vocabulary.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path, help="an older tokenizer.json to keep")
    parser.add_argument("--conversations", type=int, default=6000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = mended(options.start) if options.start else learnt(Random(7), options.conversations)
    tokenizer.save(str(options.out / "tokenizer.json"))
    alone = [character for character in values.COMMON if len(tokenizer.encode(character).ids) == 1]
    print(f"{tokenizer.get_vocab_size()} tokens; of {len(values.COMMON)} characters {len(alone)} are one token")


if __name__ == "__main__":
    main()
