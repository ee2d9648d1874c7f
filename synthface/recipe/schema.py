"""The whole recipe: one schema for the pipeline and the only place with defaults."""

from __future__ import annotations

from synthface.recipe.audit import AuditRecipe
from synthface.recipe.people import EncoderRecipe, IdentitiesRecipe, PerturbRecipe, PriorRecipe
from synthface.recipe.pictures import (
    CropRecipe,
    GateRecipe,
    GeneratorRecipe,
    GeneratorTrainingRecipe,
    PackRecipe,
    RenderRecipe,
)
from synthface.recipe.recognition import EvaluateRecipe, TrainRecipe
from synthface.recipe.section import Section, decisive, free


class Recipe(Section):
    """Everything that decides a dataset and a recogniser, from the first embedding to the last table."""

    name: str = free("custom", "Name of the recipe.")
    description: str = free("", "What it is for, one sentence, with its source.")
    seed: int = decisive(0, "The 64-bit seed from which all others are derived.", ge=0, lt=2**64)
    encoder: EncoderRecipe = decisive(EncoderRecipe(), "Picture to embedding.")
    prior: PriorRecipe = decisive(PriorRecipe(), "The distribution of real identities.")
    identities: IdentitiesRecipe = decisive(IdentitiesRecipe(), "People who do not exist.")
    perturb: PerturbRecipe = decisive(PerturbRecipe(), "Variation within an identity.")
    generator: GeneratorRecipe = decisive(GeneratorRecipe(), "Embedding to picture.")
    crop: CropRecipe = decisive(CropRecipe(), "Picture to aligned crop.")
    gate: GateRecipe = decisive(GateRecipe(), "Which pictures are kept.")
    render: RenderRecipe = decisive(RenderRecipe(), "How many, and by whom.")
    pack: PackRecipe = decisive(PackRecipe(), "The dataset.")
    train: TrainRecipe = decisive(TrainRecipe(), "Training a recogniser.")
    evaluate: EvaluateRecipe = decisive(EvaluateRecipe(), "Measuring it.")
    audit: AuditRecipe = decisive(AuditRecipe(), "Measuring a dataset.")
    train_generator: GeneratorTrainingRecipe = decisive(GeneratorTrainingRecipe(), "Training the generator itself.")
