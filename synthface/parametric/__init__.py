"""An analytic face model: a person and a situation, each a vector, give a picture with known truth.

dimensions.py     the two vectors; traits.py, situation.py: what they mean
population.py     how people and situations are distributed
source.py         datasets; benchmarks.py: verification sets; studio.py: pictures by the thousand
render.py         vectors → pictures, by what follows
anatomy.py        the mean head; features.py, ears.py, eyes.py, mouth.py: its parts; head.py, atlas.py: its vertices
shape.py          how people differ; expression.py: what moves in one; body.py: one person's vertices
skin.py           paint; complexion.py, canvas.py, fields.py, noise.py: under it; hairline.py, hair.py: on top; spectacles.py
camera.py         pose and crop; light.py, occlusion.py, background.py: the room; sensor.py: the file's pixels
raster.py         triangles → pixels; surface.py, sampling.py: what is shaded; draw_*.py: layer after layer
"""

from synthface.parametric.dimensions import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, plain_nuisance
from synthface.parametric.render import Rendering, render

__all__ = ["IDENTITY_DIMENSIONS", "NUISANCE_DIMENSIONS", "Rendering", "plain_nuisance", "render"]
