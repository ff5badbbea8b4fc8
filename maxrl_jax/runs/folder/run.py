"""The folder of a run: config.json, inputs.json, environment.json, metrics.jsonl, checkpoints/, figures/.

`open_run` opens it, new or to be resumed, and gives a `Run`: the one place a driver logs to. Only process 0
writes; the others hold a Run that writes nothing.
"""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from maxrl_jax.devices import environment
from maxrl_jax.errors import ConfigError, one_line
from maxrl_jax.runs.config import fields
from maxrl_jax.runs.folder import digest, headline, inputs, metric_writer, resume, wandb_writer
from maxrl_jax.runs.folder.checkpoint import Checkpoints, Saved
from maxrl_jax.runs.folder.paths import absolute, make_writable
from maxrl_jax.runs.folder.progress import Progress
from maxrl_jax.runs.folder.stopping import StopRequest, say_plainly

EXTENDABLE = ("steps", "rl.steps")
"""Fields that may grow between launches: the length of a driver's last phase."""


class Run:
    """An open run folder.

    Attributes:
        saved: the checkpoint the run continues from, or None for a new run; the loop consumes it.
    """

    def __init__(self, config: Any, path: epath.Path, name: str, checkpoints: Checkpoints, progress: Progress):
        self.config, self.path, self.name = config, path, name
        self.figures = path / "figures"
        self.checkpoints, self.progress = checkpoints, progress
        self.saved: Saved | None = None
        self.stop = StopRequest(progress.say if jax.process_index() == 0 else say_plainly)
        self.position: dict[str, int] = {}
        self._shown: set[str] = set()
        self._appended: set[str] = set()
        self._headline = headline.DEFAULT
        self._lines: metric_writer.LineFile | None = None
        self._wandb: wandb_writer.WandbWriter | None = None

    @property
    def replaying(self) -> bool:
        """True until the loop has restored ``saved``; what is logged till then is in the file already."""
        return self.saved is not None

    @property
    def metrics_lines(self) -> int:
        """Lines written to metrics.jsonl so far; 0 in the processes that write none."""
        return self._lines.num_lines if self._lines else 0

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes one record to metrics.jsonl and W&B.

        Args:
            step: step of the phase, counted from 0.
            values: ``{"prefix/name": number, or (nested) list of numbers}``. Under sft/, train/ and eval/
                only functions of config and step; what a clock decides goes under perf/.
        """
        self.log_many([(step, values)])

    def log_many(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Writes several records in one call."""
        if self._lines is None or self.replaying:
            return
        lines = [metric_writer.encode(step, values) for step, values in records]
        self._lines.append(lines)
        if self._wandb is not None:
            self._wandb.send(lines)

    def log_image(self, step: int, name: str, path: str | os.PathLike) -> None:
        """Shows a picture file (under figures/) in W&B."""
        self._shown.add(os.path.basename(os.fspath(path)))
        if self._wandb is not None and not self.replaying:
            self._wandb.image(step, name, os.fspath(path))

    def log_table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Shows rows of the same columns as a table in W&B."""
        if self._wandb is not None and not self.replaying:
            self._wandb.table(step, name, rows)

    def append(self, name: str, lines: Sequence[str]) -> None:
        """Adds whole lines to a file of the folder; what a kill left of a line is cut off first."""
        file = self.path / name
        if file.exists() and name not in self._appended:
            text = file.read_text()
            metric_writer.write_whole(file, text[: text.rfind("\n") + 1])
        self._appended.add(name)
        added = "".join(line + "\n" for line in lines)
        if "://" in os.fspath(file):  # an object store cannot append
            file.write_text((file.read_text() if file.exists() else "") + added)
        else:
            with open(file, "a", encoding="utf-8") as opened:
                opened.write(added)

    @contextlib.contextmanager
    def figure_file(self, name: str) -> Iterator[str]:
        """A local path to draw a picture or write an array file to; it then lies in figures/, also of a bucket.

        A drawing that fails, for a font or a style of this machine, is one line: the run has its results and goes on.

        Example:
            with run.figure_file("curves.png") as path:
                figure.savefig(path)
        """
        with tempfile.TemporaryDirectory() as local:
            path = os.path.join(local, name)
            try:
                yield path
                content = pathlib.Path(path).read_bytes()
            except Exception as error:
                self.say(f"figures/{name} could not be made ({type(error).__name__}: {one_line(error)})")
                return
            if jax.process_index() == 0:
                (self.figures / name).write_bytes(content)

    def say(self, text: str) -> None:
        """One line for the user."""
        self.progress.say(text)

    def evaluated(self, step: int, num_steps: int, values: Mapping[str, Any], names: Sequence[str]) -> None:
        """Logs an evaluation and tells the values of ``names`` in one line; the closing table has those of the last."""
        self._headline = tuple(names)
        self.log(step, values)
        self.progress.evaluated(step, num_steps, headline.of(values, names))

    def sync(self) -> None:
        """Makes the metrics written so far durable."""
        if self._lines is not None:
            self._lines.sync()
        if self._wandb is not None:
            self._wandb.sync()

    def finish(self, params: Any, **values: Any) -> dict[str, Any]:
        """Writes the last line of a finished run, ``final/params_sha256`` and further final values, and returns it."""
        if self.replaying:
            raise RuntimeError(f"the run ends, but its checkpoint of {self.saved} was never restored")
        record = {f"final/{name}": value for name, value in values.items()}
        record["final/params_sha256"] = digest.params_sha256(params)
        self.checkpoints.wait()
        step = max([0, *list(self.position.values())[-1:]])
        self._show_figures(step)
        self.log(step, record)
        self.sync()
        self._tell(record)
        return record

    def _tell(self, record: Mapping[str, Any]) -> None:
        """The closing words: what the evaluations found at the start and at the end, and where the files are."""
        if self._lines is None:
            return
        ends = headline.first_and_last(metric_writer.read_lines(self.path))
        found = [headline.of(end, self._headline) for end in ends] or [headline.of(record)]
        columns = [f"step {end['step']}" for end in ends] or ["final"]
        names = dict.fromkeys(name for values in found for name in values)
        rows = [[name, *(f"{values[name]:.4g}" if name in values else "" for values in found)] for name in names]
        if rows:
            self.progress.table(f"{self.name}: {self.path}", ["", *columns], rows)
        pictures = sorted(p.name for p in self.figures.iterdir() if p.name.endswith((".png", ".svg")))
        for name in pictures:
            self.say(f"figure: {self.figures / name}")
        self.say(f"metrics: {self.path / metric_writer.NAME}")

    def _show_figures(self, step: int) -> None:
        """Sends the pictures of figures/ that the driver has not sent itself."""
        if self._wandb is not None:
            for path in sorted(self.figures.iterdir()):
                if path.name.endswith(".png") and path.name not in self._shown:
                    self.log_image(step, f"figures/{path.stem}", path)


@contextlib.contextmanager
def open_run(config: Any, workdir: str | os.PathLike, name: str) -> Iterator[Run]:
    """Opens a run folder, new or to be resumed.

    Args:
        config: the run's config.
        workdir: made if absent; a path of the file system or of a bucket.
        name: the driver's name, shown on the terminal and in W&B.

    Raises:
        ConfigError: the folder cannot be written, another process runs in it, or the config or a file that it names
            differs from those that the run was started with.
        CheckpointError: the folder has checkpoints, and none can be read.
    """
    path = absolute(workdir)
    writes = jax.process_index() == 0
    with contextlib.ExitStack() as stack:
        progress = Progress(name, config.log.console_seconds, quiet=not writes)
        stack.callback(progress.end)
        if writes:
            make_writable(path)
            (path / "figures").mkdir(exist_ok=True)
            stack.enter_context(resume.lock(path))
        settings = fields.to_dict(config)
        given = inputs.digests(settings)
        _check_resumed(path, settings, given, progress)
        checkpoints = Checkpoints(path / "checkpoints", config.checkpoint.max_to_keep, progress.say)
        stack.callback(checkpoints.close)
        run = Run(config, path, name, checkpoints, progress)
        run.saved = checkpoints.latest()
        if writes:
            metric_writer.write_whole(path / "config.json", json.dumps(settings, indent=2) + "\n")
            inputs.write(path, given)
            _record_environment(path)
            _open_writers(run, settings, stack)
        if run.saved is not None:
            run.say(f"resuming {path} from {run.saved}")
        stack.enter_context(run.stop)
        yield run


def _open_writers(run: Run, settings: Mapping[str, Any], stack: contextlib.ExitStack) -> None:
    """Opens metrics.jsonl, cut to the lines of the checkpoint the run continues from, and W&B."""
    run._lines = metric_writer.LineFile(run.path)
    stack.callback(run._lines.close)
    dropped = run._lines.cut(run.saved.metrics_lines if run.saved else 0)
    if wandb_writer.mode(run.config) != "disabled":
        name = f"{run.name}-{run.path.name}"
        run._wandb = wandb = wandb_writer.WandbWriter(run.config, settings, run.path, name, run.say)
        wandb.resume(metric_writer.read_lines(run.path), dropped)
        stack.push(lambda kind, *_: wandb.close(exit_code=0 if kind is None else 1))


def _check_resumed(path: epath.Path, settings: Mapping[str, Any], given: inputs.Digests, progress: Progress) -> None:
    """Compares config and inputs with those of the folder; says what changed, refuses what cannot."""
    file = path / "config.json"
    if not file.exists() or not resume.has_progress(path):
        return
    try:
        before = json.loads(file.read_text())
    except ValueError:
        raise ConfigError("--workdir", os.fspath(path), "a folder whose config.json is readable") from None
    for key, (old, new) in resume.changes(before, settings, EXTENDABLE).items():
        progress.say(f"resuming with {key} changed from {old!r} to {new!r}")
    inputs.check(path, given)


def _record_environment(path: epath.Path) -> None:
    """Writes environment.json; what earlier launches ran on is kept under "earlier"."""
    file = path / "environment.json"
    earlier: list[Any] = []
    if file.exists():
        with contextlib.suppress(ValueError):
            before = json.loads(file.read_text())
            earlier = [*before.pop("earlier", []), before]
    now = {**environment.describe(), "earlier": earlier}
    metric_writer.write_whole(file, json.dumps(now, indent=2) + "\n")
