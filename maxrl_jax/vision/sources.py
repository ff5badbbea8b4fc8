"""The table of image sources, and users' own sources: ``--config.data.name=my.module:source``.

# my/module.py: an `images.Source`, here of arrays in memory
source = arrays.source(images, labels, validation_images, validation_labels)
"""

from __future__ import annotations

import difflib
import importlib

from maxrl_jax.vision import drawn
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
from maxrl_jax.vision.images import Source

TABLE: dict[str, Source] = {
    "glyphs": drawn.GLYPHS,
    "kanji": drawn.KANJI,
    "digits": drawn.DIGITS,
    "imagenet2012": imagenet2012.SOURCE,
}


def get(name: str) -> Source:
    """The source with a name of the table, or the `Source` at ``package.module:attribute``.

    Raises:
        ValueError: no such source; one line that lists the allowed names.
    """
    if name in TABLE:
        return TABLE[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        close = difflib.get_close_matches(name, TABLE, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"one of {', '.join(TABLE)}, or your own as package.module:attribute{hint}")
    try:
        source = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"an importable package.module:attribute ({error})") from None
    if not isinstance(source, Source):
        raise ValueError(f"an attribute that is a maxrl_jax.vision.images.Source, not {type(source).__name__}")
    return source
