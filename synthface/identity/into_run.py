"""The whole of `sample-ids`: a recipe in, confirmed people out, kept in a run directory or in memory."""

from __future__ import annotations

from synthface import files
from synthface.errors import OutOfReachError
from synthface.identity import confirm, identities, origin, priors, sample
from synthface.identity.density import CandidateStream
from synthface.identity.embeddings import EmbeddingSet, open_embeddings
from synthface.identity.identities import Identities
from synthface.identity.prior import Prior
from synthface.recipe import Recipe
from synthface.run import RunDirectory


def sample_into(run: RunDirectory, recipe: Recipe) -> Identities:
    """Extends the run's identities to the recipe's number, confirms them, and leaves them there.

    Raises OutOfReachError when fewer fit: what was found is confirmed and kept. Raises RunConflictError when the directory
    was made with other values, InputError for files that cannot be used.
    """
    prior_file = priors.locate(recipe, run)
    learned = priors.open_for(recipe, prior_file)
    settings = recipe.identities
    stream = CandidateStream(learned, settings, recipe.seed)
    excluded = _excluded(recipe, learned)
    decisive = {"prior_sha256": files.sha256_file(prior_file)}
    if excluded is not None:
        decisive["excluded_sha256"] = excluded.fingerprint()
    with run.enter("sample-ids", recipe, decisive):
        facts = {**decisive, "seed": recipe.seed, "settings": settings.decisive(), "encoder": learned.encoder}
        made = identities.resume(run.identities, learned.dimension, facts)
        unreached: OutOfReachError | None = None
        try:
            made = sample.sample(
                stream, settings, settings.count, made, excluded, lambda part: part.save(run.identities)
            )
        except OutOfReachError as error:
            unreached, made = error, identities.load(run.identities)
        if not made.confirmed or "statistics" not in made.facts:
            made = confirm.confirm(made, settings, recipe.seed, excluded)
            made.save(run.identities)
    if unreached is not None:
        raise unreached
    return made


def sample_in_memory(learned: Prior, recipe: Recipe) -> Identities:
    """The same people, in memory alone. Raises OutOfReachError when fewer fit, and nothing is kept."""
    settings = recipe.identities
    stream = CandidateStream(learned, settings, recipe.seed)
    excluded = _excluded(recipe, learned)
    facts = {"seed": recipe.seed, "settings": settings.decisive(), "encoder": learned.encoder}
    made = sample.sample(stream, settings, settings.count, Identities.none(learned.dimension, facts), excluded)
    return confirm.confirm(made, settings, recipe.seed, excluded)


def _excluded(recipe: Recipe, learned: Prior) -> EmbeddingSet | None:
    if not recipe.identities.exclude:
        return None
    excluded = open_embeddings(recipe.identities.exclude, learned.dimension)
    origin.tell_of_others(excluded.paths, recipe.encoder.model)
    return excluded
