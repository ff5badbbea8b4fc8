"""The ``d`` of an SVG path as a polyline: lines, quadratic and cubic Bezier curves, absolute or relative.

The commands are those of SVG 1.1 section 8.3 but for arcs and the smooth quadratic, which no pen stroke uses.
"""

import itertools
import re

import numpy as np

_TOKEN = re.compile(r"([A-Za-z])|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|[\s,]+|(.)", re.DOTALL)
_NUM_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "Q": 4, "C": 6, "S": 4, "Z": 0}
_POINTS_PER_CURVE = 8


def polyline(path: str) -> np.ndarray:
    """The points of one path, float64 [points, 2], in the path's own coordinates.

    Raises:
        ValueError: a command that is not one of M L H V Q C S Z (or lower case), a wrong number of arguments, no point
            at all, or two pieces.
    """
    points: list[np.ndarray] = []
    here, last_control = np.zeros(2), None
    for command, arguments in _commands(path):
        origin = here if command.islower() else np.zeros(2)
        name = command.upper()
        if name in ("H", "V"):
            axis = "HV".index(name)
            end = here.copy()
            end[axis] = arguments[0] + origin[axis]
            controls = [end]
        elif name == "Z":
            controls = [points[0]] if points else []
        else:
            controls = [np.array(arguments[i : i + 2]) + origin for i in range(0, len(arguments), 2)]
        if name == "S":  # the first control point mirrors the last one of the curve before
            controls.insert(0, here if last_control is None else 2 * here - last_control)
        if name == "M" and points:
            raise ValueError("got a path of two pieces, allowed: a stroke without a gap")
        if name == "M" or not points:
            points.append(controls[-1] if controls else here)
        elif controls:
            points.extend(_curve([here, *controls]))
        last_control = controls[-2] if name in ("C", "S") else None
        here = points[-1]
    if not points:
        raise ValueError(f"got the path {path[:40]!r}, allowed: one with a point")
    return np.stack(points)


def _commands(path: str) -> list[tuple[str, list[float]]]:
    """Commands with their arguments; one written once and repeated is repeated here."""
    raw: list[tuple[str, list[float]]] = []
    for letter, number, other in _TOKEN.findall(path):
        if other or (letter and letter.upper() not in _NUM_ARGUMENTS) or (number and not raw):
            shown = letter or number or other
            raise ValueError(f"got {shown!r} in a path, allowed: the commands {' '.join(_NUM_ARGUMENTS)} and numbers")
        if letter:
            raw.append((letter, []))
        elif number:
            raw[-1][1].append(float(number))
    commands: list[tuple[str, list[float]]] = []
    for letter, numbers in raw:
        size = _NUM_ARGUMENTS[letter.upper()]
        if (size == 0) != (len(numbers) == 0) or (size and len(numbers) % size):
            raise ValueError(f"got {len(numbers)} numbers after {letter!r} in a path, allowed: {size} each time")
        for i in range(0, max(len(numbers), 1), max(size, 1)):
            # After the first point of a move come lines.
            name = letter if i == 0 or letter not in "Mm" else {"M": "L", "m": "l"}[letter]
            commands.append((name, numbers[i : i + size]))
    return commands


def _curve(controls: list[np.ndarray]) -> list[np.ndarray]:
    """Points after the first of the Bezier curve of 2, 3 or 4 control points, by de Casteljau's construction."""
    if len(controls) == 2:
        return [controls[1]]
    t = np.linspace(0.0, 1.0, _POINTS_PER_CURVE + 1)[1:, None]
    levels = [np.broadcast_to(control, (_POINTS_PER_CURVE, 2)) for control in controls]
    while len(levels) > 1:
        levels = [(1 - t) * a + t * b for a, b in itertools.pairwise(levels)]
    return list(levels[0])
