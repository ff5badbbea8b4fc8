"""The drawn stand-in: classes of stroke glyphs, rendered on the device."""
