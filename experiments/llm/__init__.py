"""Language models on word problems and mathematics: SFT, RL from verified answers, evaluation (MaxRL section 6)."""
