"""`train-fr --dry-run`: what a training would take. Nothing is trained and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fr_train import backbones
from fr_train.data.sources import open_sources
from synthface.progress import duration
from synthface.recipe import Recipe
from synthface.recipe.pictures import PackRecipe, RenderRecipe


def rehearse(recipe: Recipe, default: Path, speed: float | None = None) -> dict[str, Any]:
    """Pictures, steps, parameters, multiplications; time where `speed`, images/s of one device, is given.

    `missing` are data that are not there; of a dataset that the recipe itself renders, the pictures are reckoned, others
    are None and what depends on them is told for a million. Raises what opening the data raises.
    """
    settings = recipe.train
    paths = [Path(path) for path in settings.data] or [default]
    missing = [str(path) for path in paths if not path.exists()]
    classes, pictures = None, None
    if not missing:
        sources = open_sources(paths, settings.data_weights)
        classes, pictures = sources.num_classes, len(sources)
    elif not settings.data:
        classes, pictures = expected(recipe.render, recipe.pack)
    per_epoch = None if pictures is None else pictures // settings.batch_size
    images = None if per_epoch is None else settings.epochs * per_epoch * settings.batch_size
    parameters, multiplications = cost(settings.backbone, settings.embedding_size)
    content: dict[str, Any] = {
        "pictures": pictures,
        "classes": classes,
        "missing": missing,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "steps": None if per_epoch is None else settings.epochs * per_epoch,
        "images": images,
        "backbone": settings.backbone,
        "parameters": parameters,
        "multiplications": multiplications,
        "head": settings.head,
        "head_parameters": None if classes is None else classes * settings.embedding_size,
        "images_per_second": speed,
    }
    if images is None:
        content["images_per_million"] = settings.epochs * 1_000_000
        content["steps_per_million"] = round(settings.epochs * 1e6 / settings.batch_size)
        if speed is not None:
            content["seconds_per_million"] = round(settings.epochs * 1e6 / speed, 1)
    elif speed is not None:
        seconds = images / speed
        content |= {"seconds": round(seconds, 1), "duration": duration(seconds), "device_hours": seconds / 3_600}
    return content


def expected(render: RenderRecipe, pack: PackRecipe) -> tuple[int, int]:
    """People and pictures of the dataset that a recipe renders, where no picture is given up."""
    groups = [(group.ids, group.per_id) for group in render.groups] or [(render.ids, render.per_id)]
    people = sum(ids for ids, _ in groups)
    return people, sum(ids * per_id for ids, per_id in groups) + people * pack.extra_center_copies


def cost(backbone: str, embedding_size: int) -> tuple[int, int]:
    """Parameters of a network, and multiplications of one image's way through it; nothing is computed."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = backbones.build(backbone, embedding_size).eval().requires_grad_(False)
        image_BCHW = torch.zeros(1, 3, backbones.IMAGE_SIZE, backbones.IMAGE_SIZE)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(image_BCHW)
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() // 2


def told(content: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"missing: {path}" for path in content["missing"]]
    if content["images"] is None:
        lines += [
            f"for every million pictures in the data: {content['epochs']:,} epochs, {content['steps_per_million']:,} steps of "
            f"{content['batch_size']:,}, {content['images_per_million']:,} images through the network",
            "pictures, people and all steps: told when these data are here, or of others by --data DIR",
        ]
    else:
        known = "to be rendered: " if content["missing"] else ""
        lines.append(
            f"{known}{content['pictures']:,} pictures of {content['classes']:,} people; {content['epochs']:,} epochs, "
            f"{content['steps']:,} steps of {content['batch_size']:,}, {content['images']:,} images through the network"
        )
    head = "" if content["head_parameters"] is None else f", {content['head_parameters'] / 1e6:,.1f}M in the head"
    lines.append(
        f"{content['backbone']} with {content['head']}: {content['parameters'] / 1e6:,.1f}M parameters{head}; "
        f"{content['multiplications'] / 1e9:,.2f} G multiplications an image"
    )
    if "seconds" in content:
        lines.append(
            f"time: {content['duration']} on one device at the given {content['images_per_second']:,.4g} images/s; "
            f"{content['device_hours']:,.2f} device-hours"
        )
    elif "seconds_per_million" in content:
        lines.append(
            f"time: {duration(content['seconds_per_million'])} on one device for every million pictures in the data, at the "
            f"given {content['images_per_second']:,.4g} images/s"
        )
    else:
        lines.append("time: told with --images-per-second X; the first steps of a training print the speed")
    return "\n".join(lines)
