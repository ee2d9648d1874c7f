"""Recipes: one pydantic schema for the whole pipeline, read from YAML.

section.py       what sections share; which values decide bytes
people.py        encoder, prior, identities, perturb
pictures.py      generator, crop, gate, render, pack, train_generator
recognition.py   train, evaluate
audit.py         audit
schema.py        the whole
load.py          files, names, `--set`, errors
reference.py     what every key means
"""

from synthface.recipe.load import DEFAULT, available, build, dump, find, known_keys, load, parse_override, read, write
from synthface.recipe.schema import Recipe
from synthface.recipe.section import Section

__all__ = [
    "DEFAULT",
    "Recipe",
    "Section",
    "available",
    "build",
    "dump",
    "find",
    "known_keys",
    "load",
    "parse_override",
    "read",
    "write",
]
