"""Figures of language-model policies, whatever their task: mazes, word problems, mathematics."""
