"""The language-model driver: SFT, RL from verified answers and evaluation, on any task (MaxRL sections 6.1 and 6.2)."""
