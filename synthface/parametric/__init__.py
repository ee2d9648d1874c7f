"""An analytic face model: a person and a situation, each a vector, give a picture with known truth."""

from synthface.parametric.dimensions import IDENTITY_DIMENSIONS, NUISANCE_DIMENSIONS, plain_nuisance
from synthface.parametric.render import Rendering, render

__all__ = ["IDENTITY_DIMENSIONS", "NUISANCE_DIMENSIONS", "Rendering", "plain_nuisance", "render"]
