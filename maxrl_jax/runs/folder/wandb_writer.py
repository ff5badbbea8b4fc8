"""Weights & Biases behind the run's writer: it mirrors metrics.jsonl and never stops training.

The run's id is kept in ``wandb_id`` in the run folder, so a resumed run continues the same W&B run. Steps
are the run's own (``train/step``, ``eval/step``, ...), declared with define_metric. Which lines were handed to
W&B is kept in the folder too (`sent_lines`): a resumed run sends those that a kill left unsent, and none twice.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from etils import epath

from maxrl_jax.errors import ConfigError, one_line
from maxrl_jax.runs.config.checks import one_of
from maxrl_jax.runs.folder import headline, metric_writer
from maxrl_jax.runs.folder.sent_lines import SentLines

MODES = ("online", "offline", "disabled")
CURVES = ("pass@", "best@")
"""Families shown as a curve over k too."""


def mode(config: Any) -> Literal["online", "offline", "disabled"]:
    """online, offline or disabled: the variable WANDB_MODE, else ``config.wandb.mode``.

    Raises:
        ConfigError: not one of the three, or online without an API key.
    """
    one_of(config, "wandb.mode", MODES)
    chosen = os.environ.get("WANDB_MODE") or config.wandb.mode
    if chosen not in MODES:
        raise ConfigError("WANDB_MODE", chosen, "one of " + ", ".join(MODES))
    if chosen == "online" and not _has_key():
        allowed = "offline or disabled, as no API key is found (set WANDB_API_KEY or run `wandb login`)"
        raise ConfigError("wandb.mode", "online", allowed)
    return chosen


class WandbWriter:
    """Sends records to one W&B run; after a first failure it says so and sends nothing more."""

    def __init__(
        self,
        config: Any,
        settings: Mapping[str, Any],
        folder: epath.Path,
        name: str,
        say: Callable[[str], None],
    ):
        """Starts or resumes the W&B run; ``settings`` are the config as plain values, recorded with it."""
        self._say = say
        self._run: Any = None
        self._sent = SentLines(folder)
        self._prefixes: set[str] = set()
        self._guarded(lambda: self._start(config, settings, folder, name))

    def resume(self, kept: Sequence[str], dropped: Sequence[str]) -> None:
        """Sends the ``kept`` lines that earlier launches did not send; ``dropped`` ones will be written again."""
        self.send(self._sent.resume(kept, dropped))

    def send(self, lines: Sequence[str]) -> None:
        """Sends lines of metrics.jsonl, in its order; lists (one value a seed) as the mean of what is finite."""
        if self._run is None:
            return
        for line in lines:
            record = json.loads(line)
            step = record.pop("step")
            if not self._sent.already(step, record):
                self._guarded(lambda step=step, record=record: self._log(step, record))
            if self._run is None:
                break
            self._sent.add()
        self._sent.keep()

    def image(self, step: int, name: str, path: str) -> None:
        """Sends a picture file, of the file system or a bucket, under a metric's name."""

        def send():
            import PIL.Image
            import wandb

            if "://" not in path:
                self._log(step, {name: wandb.Image(path)})
                return
            with epath.Path(path).open("rb") as file, PIL.Image.open(file) as picture:
                self._log(step, {name: wandb.Image(picture.copy())})

        if self._run is not None:
            self._guarded(send)

    def table(self, step: int, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sends rows of the same columns as a table."""

        def send():
            import wandb

            columns: list[Any] = list(rows[0])
            self._log(step, {name: wandb.Table(columns=columns, data=[[row[key] for key in columns] for row in rows])})

        if self._run is not None and rows:
            self._guarded(send)

    def sync(self) -> None:
        """Makes what is known of the lines sent durable, on stores that are too slow to do so at every call."""
        self._sent.keep(now=True)

    def close(self, exit_code: int = 0) -> None:
        """Ends the W&B run."""
        if self._run is not None:
            self._guarded(lambda: self._run.finish(exit_code=exit_code))
            self._run = None

    def _start(self, config: Any, settings: Mapping[str, Any], folder: epath.Path, name: str) -> None:
        import wandb

        local = "://" not in os.fspath(folder)
        arguments: dict[str, Any] = {
            "project": config.wandb.project,
            "group": config.wandb.group or None,
            "tags": list(config.wandb.tags) or None,
            "id": run_id(folder),
            "name": name,
            "resume": "allow",
            "config": dict(settings),
            "dir": os.fspath(folder) if local else None,
            "settings": wandb.Settings(silent=True, console="off"),
        }
        chosen = mode(config)
        try:
            self._run = wandb.init(mode=chosen, **arguments)
        except Exception as error:
            if chosen != "online":
                raise
            self._say(f"W&B cannot be reached ({one_line(error)}); logging offline, `wandb sync` sends it later")
            self._run = wandb.init(mode="offline", **arguments)

    def _log(self, step: int, values: Mapping[str, Any]) -> None:
        record: dict[str, Any] = {}
        for name, value in values.items():
            prefix = name.split("/")[0]
            if prefix not in self._prefixes:  # a section of charts a phase, over the phase's own steps
                self._prefixes.add(prefix)
                self._run.define_metric(f"{prefix}/step", hidden=True)
                self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
            record[f"{prefix}/step"] = step
            record[name] = metric_writer.mean(value) if isinstance(value, list) else value
        record |= _curves(step, values)
        if record:
            self._run.log(record)

    def _guarded(self, action: Callable[[], None]) -> None:
        """W&B never stops training: whatever it raises becomes one line, and it is left out from then on."""
        try:
            action()
        except Exception as error:
            self._run = None
            self._say(f"W&B failed and is left out of the rest of this run ({one_line(error)})")


def run_id(folder: epath.Path) -> str:
    """The W&B id of a run folder, kept in ``wandb_id``; made once, as WANDB_RUN_ID says or at random."""
    path = folder / "wandb_id"
    if path.exists() and (kept := path.read_text().strip()):
        return kept
    made = os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12]
    metric_writer.write_whole(path, made + "\n")
    return made


def _curves(step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A chart of pass@k over k, for an evaluation that has it at three k or more."""
    charts = {}
    for prefix in dict.fromkeys(name.split("/")[0] for name in values):
        own = {name.partition("/")[2]: value for name, value in values.items() if name.startswith(f"{prefix}/")}
        for family in CURVES:
            curve = headline.family(own, family)
            if len(curve) > 2:
                import wandb

                table = wandb.Table(columns=["k", f"{family}k"], data=[list(point) for point in curve.items()])
                title = f"{family}k over k after {step} steps"
                charts[f"{prefix}/{family}k over k"] = wandb.plot.line(table, "k", f"{family}k", title=title)
    return charts


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        import wandb

        try:
            return bool(wandb.login(prompt=False, verify=False))
        except TypeError:  # before wandb.login knew `prompt`
            return bool(wandb.api.api_key)
    except Exception:
        return False
