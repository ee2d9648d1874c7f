"""The features of the mean face, modelled onto the bare head: nose, eyes' surroundings, lips, folds (ours).

Each function takes the canonical coordinates and gives a depth (mm towards the viewer) to add to the bare surface.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from synthface.parametric.anatomy import MOUTH_Y, PUPIL_X
from synthface.parametric.fields import Field, bell, bump, ellipsoid, groove, smooth_max, smoothstep
from synthface.parametric.head import Canon

# Height → depth of the nose's ridge and half of its breadth there, from the nasion to below the tip.
_RIDGE_Y = (16, 8, 3, -4, -12, -20, -28, -34, -39, -44, -48, -52)
_RIDGE_Z = (8.5, 6.8, 6.4, 8.6, 13, 17.8, 22.4, 25.6, 26.5, 21, 13, 12)
_RIDGE_WIDTH = (10, 7.5, 6.6, 6.8, 7.6, 8.4, 9, 9, 8.5, 7, 5, 5)


def mouth_line(x: Field) -> Field:
    """Height of the line between the closed lips at x."""
    return MOUTH_Y - 0.9 * bell(x, 0, 4.5) + 0.5 * bell(np.abs(x), 8, 5) + 0.0009 * x * x


def nose(c: Canon) -> Field:
    """Ridge, ball, wings and columella, blended as smooth maxima: nothing of it looks like a Gaussian hill."""
    x, y, bare = c.x, c.y, c.z
    side = np.abs(x)
    height = np.interp(-y, -np.array(_RIDGE_Y), _RIDGE_Z)
    width = np.interp(-y, -np.array(_RIDGE_Y), _RIDGE_WIDTH)
    ridge = bare + np.maximum(height - bare, 0) * np.exp(-((side / width) ** 2.1)) * smoothstep(20, 12, y)
    ball = ellipsoid(x, y, (0, -38.2, 18.5), (10, 9.2, 12.2))
    wing = ellipsoid(side, y, (11.6, -42.2, 7.5), (6.6, 6.6, 9.5))
    columella = ellipsoid(x, y, (0, -45, 15), (3.6, 5.5, 7.5))
    shape = smooth_max(smooth_max(smooth_max(ridge, ball, 1.5), wing, 1.1), columella, 1.2)
    near = smoothstep(26, 20, side) * smoothstep(-60, -55, y) * smoothstep(20, 14, y) * c.front
    relief = np.where(near > 0, shape - bare, 0.0) * near
    alar_groove = groove(side, y, [(15.5, -35.5), (18.4, -40), (18.2, -46)], 1.7)
    nostril = bump(side, y, 6.3, -47.6, 2.9, 1.7)
    return gaussian_filter(relief, (0.9, 0.8)) - (1.6 * alar_groove + 2.6 * nostril) * c.front


def orbits(c: Canon) -> Field:
    """Sockets, the ball of the eye under its lids, the lid's fold and the bag below."""
    x, y = np.abs(c.x), c.y
    socket = -3.2 * bump(x, y, 28, 7.5, 13, 5.5) - 3.0 * bump(x, y, 17.5, 3, 4.5, 6)
    ball = 3.4 * bump(x, y, PUPIL_X, -0.5, 9.5, 5.6)
    fold = 0.9 * bump(x, y, 36, 10, 10, 3.2)
    trough = -0.9 * groove(x, y, [(18, -8), (25, -14), (33, -16.5)], 2.2)
    bag = 0.5 * bump(x, y, 30, -9.5, 9, 2.2)
    brow = 1.6 * groove(x, y, [(12, 16), (24, 19), (36, 19), (46, 13)], 4.2)
    return (socket + ball + fold + trough + bag + brow) * c.front


def lips(c: Canon) -> Field:
    """Vermilion borders, the tubercle, the line between the lips, philtrum and the dimples at the corners."""
    x, y = np.abs(c.x), c.y
    line = mouth_line(c.x)
    reach = smoothstep(27, 13, x)
    upper = 2.7 * reach * bell(y - line, 4.1, 2.5) + 0.9 * bump(x, y, 0, MOUTH_Y + 3, 3.6, 2.2)
    lower = 3.7 * smoothstep(26, 9, x) * bell(y - line, -4.9, 3.1)
    between = -2.6 * smoothstep(28, 21, x) * bell(y - line, 0, 1.25)
    border = 0.5 * reach * bell(y - line, 8.2 - 1.2 * bell(x, 0, 3), 1.0)
    corner = -2.0 * bump(x, y, 27.5, MOUTH_Y - 0.5, 3.4, 4) + 1.2 * bump(x, y, 33, MOUTH_Y - 2, 4, 8)
    philtrum = -1.2 * bump(x, y, 0, -57, 2.3, 4.5) + 0.8 * bump(x, y, 4.6, -57.5, 1.8, 5)
    below = -1.6 * bump(x, y, 0, MOUTH_Y - 17, 13, 3.6)
    return (upper + lower + between + border + corner + philtrum + below) * c.front


def folds(c: Canon) -> Field:
    """The cheek's fullness and the shallow fold from the wing of the nose to the corner of the mouth."""
    x, y = np.abs(c.x), c.y
    nasolabial = -0.9 * groove(x, y, [(20, -43), (26, -54), (31, -66)], 3.0)
    cheek = 1.3 * bump(x, y, 37, -36, 11, 10)
    chin = 1.6 * bump(x, y, 0, -102, 11, 7)
    return (nasolabial + cheek + chin) * c.front


def relief(c: Canon) -> Field:
    """All of them together."""
    return nose(c) + orbits(c) + lips(c) + folds(c)
