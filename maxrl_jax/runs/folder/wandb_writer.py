"""Weights & Biases behind the run's writer: it mirrors metrics.jsonl and never stops training.

The run's id is kept in ``wandb_id`` in the run folder, so a resumed run continues the same W&B run. Steps
are the run's own (``train/step``, ``eval/step``, ...), declared with define_metric. After a resume the steps
replayed since the last checkpoint equal those sent before, so they are not sent again.
"""

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from etils import epath

from maxrl_jax.runs.config.checks import one_of
from maxrl_jax.runs.config.errors import ConfigError, one_line
from maxrl_jax.runs.folder import metric_writer

MODES = ("online", "offline", "disabled")


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
        raise ConfigError(
            "wandb.mode",
            "online",
            "offline or disabled, as no API key is found (set WANDB_API_KEY or run `wandb login`)",
        )
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
        """Starts or resumes the W&B run.

        Args:
            config: the run's config, for its ``wandb`` fields.
            settings: the config as plain values, recorded with the run.
            folder: the run folder; holds the run's id.
            name: name shown for the run.
            say: called with a line for the user.
        """
        self._say = say
        self._run: Any = None
        self._sent: dict[str, int] = {}
        self._prefixes: set[str] = set()
        self._guarded(lambda: self._start(config, settings, folder, name))

    def skip_sent(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Marks records that an earlier launch sent and that will be replayed: they are not sent again."""
        for record in records:
            for prefix in _prefixes(record):
                self._sent[prefix] = max(self._sent.get(prefix, -1), record["step"])

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Sends one record; lists (one value a seed) are sent as the mean of what is finite in them."""
        if self._run is not None:
            self._guarded(lambda: self._log(step, values))

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
            if step <= self._sent.get(prefix, -1):
                continue
            if prefix not in self._prefixes:
                self._prefixes.add(prefix)
                self._run.define_metric(f"{prefix}/step", hidden=True)
                self._run.define_metric(f"{prefix}/*", step_metric=f"{prefix}/step")
            record[f"{prefix}/step"] = step
            record[name] = metric_writer.mean(value) if isinstance(value, list) else value
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


def _prefixes(record: Mapping[str, Any]) -> set[str]:
    return {name.split("/")[0] for name in record if name != "step"}


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
