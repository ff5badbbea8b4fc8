"""The ``d`` of an SVG path as a polyline: lines, quadratic and cubic Bezier curves, absolute or relative.

The commands are those of SVG 1.1 section 8.3 but for arcs and the smooth quadratic, which no pen stroke uses.
"""

import itertools
import re

import numpy as np

_TOKEN = re.compile(r"[A-Za-z]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[^\s,]")
_NUM_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "S": 4, "Z": 0}
_POINTS_PER_CURVE = 8


def polyline(path: str) -> np.ndarray:
    """The points of one path, float64 [points, 2], in the path's own coordinates.

    Raises:
        ValueError: not a path of one piece of the commands M L H V Q C S Z (or lower case).
    """
    tokens, command, points, mirrored = _TOKEN.findall(path), "", [], None
    here = np.zeros(2)
    while tokens:
        if tokens[0].isalpha():
            command = tokens.pop(0)
        else:  # a command written once and repeated; after the first point of a move come lines
            command = {"M": "L", "m": "l", "Z": "", "z": ""}.get(command, command)
        name, count = command.upper(), _NUM_ARGUMENTS.get(command.upper(), len(tokens) + 1)
        try:
            arguments, tokens = list(map(float, tokens[:count])), tokens[count:]
        except ValueError:
            arguments = []
        if len(arguments) != count or (name == "M") != (not points):
            raise ValueError(f"got {command!r} in the path {path[:40]!r}, allowed: {' '.join(_NUM_ARGUMENTS)}, M first")
        origin = here if command.islower() else np.zeros(2)
        if name in ("H", "V"):
            axis = "HV".index(name)
            controls = [here.copy()]
            controls[0][axis] = arguments[0] + origin[axis]
        elif name == "Z":
            controls = [points[0]]
        else:
            controls = list(np.reshape(arguments, (-1, 2)) + origin)
        if name == "S":  # the first control point mirrors the last one of the curve before
            controls.insert(0, here if mirrored is None else 2 * here - mirrored)
        points += _curve([here, *controls]) if points else controls
        mirrored = controls[-2] if name in ("C", "S") else None
        here = points[-1]
    if not points:
        raise ValueError("got an empty path, allowed: one with a point")
    return np.stack(points)


def _curve(controls: list[np.ndarray]) -> list[np.ndarray]:
    """Points after the first of the Bezier curve of 2, 3 or 4 control points, by de Casteljau's construction."""
    if len(controls) == 2:
        return [controls[1]]
    t = np.linspace(0.0, 1.0, _POINTS_PER_CURVE + 1)[1:, None]
    levels = [np.broadcast_to(control, (_POINTS_PER_CURVE, 2)) for control in controls]
    while len(levels) > 1:
        levels = [(1 - t) * a + t * b for a, b in itertools.pairwise(levels)]
    return list(levels[0])
