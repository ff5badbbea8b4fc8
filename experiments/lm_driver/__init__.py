"""What the drivers of language-model policies share: mazes, word problems and mathematics differ in their task."""
