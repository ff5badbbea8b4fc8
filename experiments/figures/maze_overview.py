"""The picture of the maze experiment: every method from one base, as `make demo` draws it, over seeds."""

from experiments.figures.maze_panels import records
from experiments.figures.registry import Context, figure
from experiments.maze import overview
from experiments.results.drawing import Drawing


@figure("maze_overview", title="pass@1, pass@32 and pass@k of every method from one base", needs_runs=True)
def maze_overview(context: Context) -> Drawing:
    """Runs with an evaluation before RL and one after it."""
    return overview.draw(records(context, lambda record: len(record.evaluations) > 1, "evaluated before and after RL"))
