"""A CLIP tokenizer of the five words that the prompt needs: 65 tokens in place of 49,408.

A small generator would otherwise carry more numbers in embeddings of words that it never reads than in its UNet.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from synthface import files
from synthface.generator.conditioning import PROMPT

START, END = "<|startoftext|>", "<|endoftext|>"
POSITIONS = len(PROMPT.split()) + 3  # start, words, end, and one of padding


def write_tokenizer(folder: Path) -> int:
    """Writes vocab.json, merges.txt and the two configs; gives the number of tokens."""
    symbols = list(string.ascii_lowercase)
    merges = [merge for word in PROMPT.split() for merge in _merges(word)]
    merges = list(dict.fromkeys(merges))
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(merge) for merge in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    files.write_text(folder / "vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    files.write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    files.write_json(folder / "tokenizer_config.json", _config())
    files.write_json(folder / "special_tokens_map.json", _special_tokens())
    return len(vocabulary)


def _merges(word: str) -> list[tuple[str, str]]:
    """The merges that build `word` from left to right, its last letter marked as the end of the word."""
    letters = [*word[:-1], f"{word[-1]}</w>"]
    return [("".join(letters[:end]), letters[end]) for end in range(1, len(letters))]


def _special_tokens() -> dict[str, Any]:
    def added(content: str) -> dict[str, Any]:
        return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}

    return {"bos_token": added(START), "eos_token": added(END), "pad_token": END, "unk_token": added(END)}


def _config() -> dict[str, Any]:
    return {
        "add_prefix_space": False,
        "bos_token": START,
        "do_lower_case": True,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": POSITIONS,
        "pad_token": END,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": END,
    }
