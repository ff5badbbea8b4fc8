"""The drawn stand-in for image data: classes of pen strokes, rendered on the device.

    from maxrl_jax.vision import glyphs
    strokes = glyphs.make_strokes(key, num_classes=1000)                # or digits.strokes(), kanji.strokes(1000)
    images = glyphs.render(strokes, labels, key, image_size=32)         # float32 [B, 32, 32, 1] in [0, 1]

`digits` and `kanji` are further classes for the same renderer.
"""

from maxrl_jax.vision.glyphs import digits, kanji
from maxrl_jax.vision.glyphs.procedural import make_strokes
from maxrl_jax.vision.glyphs.rendering import image_keys, render, render_from_keys
from maxrl_jax.vision.glyphs.strokes import Strokes

__all__ = ["Strokes", "digits", "image_keys", "kanji", "make_strokes", "render", "render_from_keys"]
