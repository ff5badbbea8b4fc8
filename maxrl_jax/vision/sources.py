"""The table of image sources; ``--config.data.name=my.module:source`` is an `images.Source` of your own.

# my/module.py: arrays in memory
source = arrays.source(images, labels, validation_images, validation_labels)
"""

from maxrl_jax.vision import drawn
from maxrl_jax.vision.imagenet2012 import source as imagenet2012
from maxrl_jax.vision.images import Source

TABLE: dict[str, Source] = {
    "glyphs": drawn.GLYPHS,
    "kanji": drawn.KANJI,
    "digits": drawn.DIGITS,
    "imagenet2012": imagenet2012.SOURCE,
}
