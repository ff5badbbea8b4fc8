"""Pictures of mazes and of the paths that answers take through them (MaxRL, Figure 10).

    figure = pictures.figure(mazes.walls[0], {"right": right, "failed": failed}, solution=mazes.solution[0])

Everything takes arrays on the host; the drawing functions take a matplotlib Axes, so that larger figures can be
made of them.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from maxrl_jax.tasks.maze import tokens, verifier

# The pictures' own colours: none is a method's in the figures, so that a path is not taken for one. Right and failed
# differ in lightness too, for readers who do not see the difference of green and red.
WALL, FLOOR = "#3b4252", "#f7f7f5"
START, GOAL = "#20242c", "#ffd24d"
RIGHT, FAILED, SOLUTION = "#6aa312", "#a3124f", "#8a919e"


def draw_maze(ax: Axes, walls) -> None:
    """Draws the walls, a disc on the start and a star on the goal; a square is one unit, row 0 at the top.

    Args:
        ax: axes to draw on.
        walls: bool [n, n], True where there is a wall.
    """
    walls = np.asarray(walls, bool)
    size = walls.shape[-1]
    ax.imshow(walls, cmap=ListedColormap([FLOOR, WALL]), vmin=0, vmax=1, interpolation="nearest")
    unit = _unit(ax, size)
    ax.plot(1, 1, "o", color=START, markersize=0.6 * unit, zorder=5)
    goal = size - 2
    ax.plot(goal, goal, "*", color=GOAL, markersize=0.95 * unit, markeredgecolor=WALL, markeredgewidth=0.4, zorder=5)
    ax.set_axis_off()


def draw_answer(ax: Axes, walls, answer) -> str:
    """Draws the way an answer goes until it reaches the goal, meets a wall or the edge, or ends, and marks a failure.

    Args:
        ax: axes on which ``draw_maze`` has drawn the same maze.
        walls: bool [n, n].
        answer: int [T], tokens after the prompt.

    Returns:
        Its outcome, for a title: ``solved in 28 moves``, ``solved in 12 moves (27 written)``, ``wall at move 9``, ...
    """
    walls = np.asarray(walls, bool)
    verdict = jax.jit(verifier.judge)(jnp.asarray(walls)[None], jnp.asarray(answer)[None, None])
    reason, num_moves, num_steps = (int(leaf[0, 0]) for leaf in verdict)
    solved = reason == verifier.SOLVED
    path = np.array(tokens.positions(answer)[: num_steps + 1], float)
    unit = _unit(ax, walls.shape[-1])
    if num_steps and not _is_open(walls, *path[-1].astype(int)):
        path[-1] = (path[-2] + path[-1]) / 2  # up to the side of the square that the move may not enter
    colour = RIGHT if solved else FAILED
    ax.plot(
        path[:, 1], path[:, 0], color=colour, linewidth=0.3 * unit,
        solid_capstyle="round", solid_joinstyle="round", zorder=4, clip_on=False,
    )  # fmt: skip
    if not solved:
        style = {"markersize": 0.75 * unit, "zorder": 6, "clip_on": False, "linestyle": "none"}
        ax.plot(*path[-1, ::-1], "X", color=FAILED, markeredgecolor="white", markeredgewidth=0.08 * unit, **style)
    if solved:
        return f"solved in {num_steps} moves" + (f" ({num_moves} written)" if num_moves > num_steps else "")
    if reason in (verifier.HIT_WALL, verifier.LEFT_GRID):
        return f"{verifier.REASONS[reason]} at move {num_steps}"
    return f"{verifier.REASONS[reason]} after {num_moves} moves"


def draw_solution(ax: Axes, solution) -> None:
    """Draws the solution as a thin dotted line, to compare a failed path with."""
    path = np.array(tokens.positions(solution), float)
    ax.plot(path[:, 1], path[:, 0], color=SOLUTION, linewidth=1.4, linestyle=(0, (1, 1.6)), zorder=3)


def figure(walls, answers: Mapping[str, np.ndarray], solution=None, width: float = 7.0) -> Figure:
    """One maze, once for each answer, side by side, with a legend.

    Args:
        walls: bool [n, n].
        answers: caption (blank: none) -> int [T] tokens; what became of the answer is added to it.
        solution: int [L] tokens of the right path, drawn dotted under answers that fail.
        width: of the figure in inches.

    Returns:
        A matplotlib Figure (of no pyplot window; a notebook shows it).
    """
    columns = len(answers)
    result = Figure(figsize=(width, width / columns + 0.55), layout="constrained")
    solved = failed = False
    axes = result.subplots(1, columns, squeeze=False)[0]
    for ax, (caption, answer) in zip(axes, answers.items(), strict=True):
        draw_maze(ax, walls)
        outcome = draw_answer(ax, walls, answer)
        if outcome.startswith(verifier.REASONS[verifier.SOLVED]):
            solved = True
        else:
            failed = True
            if solution is not None:
                draw_solution(ax, solution)
        ax.set_title(f"{caption}: {outcome}" if caption.strip() else outcome, fontsize=9)
    handles = _legend(solved, failed, failed and solution is not None)
    result.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    return result


def _legend(solved: bool, failed: bool, solution: bool) -> list[Line2D]:
    """The marks that occur in the figure."""
    handles = [
        Line2D([], [], marker="o", color=START, linestyle="none", markersize=7, label="start"),
        Line2D([], [], marker="*", color=GOAL, linestyle="none", markersize=10, label="goal"),
    ]
    if solved:
        handles.append(Line2D([], [], color=RIGHT, linewidth=3, label="right path"))
    if failed:
        cross = {"marker": "X", "markeredgecolor": "white", "markersize": 9}
        handles.append(Line2D([], [], color=FAILED, linewidth=3, label="failed path", **cross))
    if solution:
        handles.append(Line2D([], [], color=SOLUTION, linewidth=1.4, linestyle=(0, (1, 1.6)), label="solution"))
    return handles


def _is_open(walls: np.ndarray, row: int, column: int) -> bool:
    """Whether a square is on the grid and no wall."""
    return 0 <= row < len(walls) and 0 <= column < len(walls) and not walls[row, column]


def _unit(ax: Axes, size: int) -> float:
    """Points along a side of one square, so that marks scale with the maze."""
    box = ax.get_window_extent()
    return min(box.width, box.height) * 72 / ax.figure.dpi / size
