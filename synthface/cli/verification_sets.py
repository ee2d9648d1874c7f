"""Which folder of verification sets a command measures on. Parametric ones are made when they are first wanted."""

from __future__ import annotations

from pathlib import Path

from synthface.recipe import Recipe

_PUBLIC_PAIRS = 6_000  # of LFW and its like


def folder(recipe: Recipe) -> Path | None:
    """The folder that the recipe names, there or not. Where it names none: the folder of the parametric sets in the cache,
    made now if they are not there yet; None when no set of `evaluate.names` is parametric.

    Raises OutputError when the cache cannot be written.
    """
    if recipe.evaluate.benchmarks is not None:
        return Path(recipe.evaluate.benchmarks)
    from synthface.parametric import benchmarks

    names = [name for name in recipe.evaluate.names if name in benchmarks.SETS]
    if not names:
        return None
    from synthface import files
    from synthface.progress import say
    from synthface.zoo import places

    if recipe.evaluate.pairs < _PUBLIC_PAIRS:
        say(
            f"The sets of computed people have {recipe.evaluate.pairs:,} pairs each, the field's {_PUBLIC_PAIRS:,}: "
            f"intervals are wider. For as many: --set evaluate.pairs={_PUBLIC_PAIRS}."
        )
    place = places.cache() / "benchmarks" / f"parametric-{recipe.evaluate.pairs}"
    lock = place.with_name(f".{place.name}.lock")  # several runs may want them at once: one makes them, the others wait
    with files.exclusive(lock, f"the verification sets in {place}", wait=True):
        benchmarks.ensure(place, names, recipe.evaluate.pairs)
    return place
