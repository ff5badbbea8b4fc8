"""Language-model policies, whatever the task: sampling, rollouts, updates, the decoder.

One RL step in reading order: `training` (a step of a run: one program, or three with the host between them), `step`
(prompts, answers, verdict, advantages, loss and gradients), `rollout.chunks` and `rollout.engine` (decoding), `task`
(the judge), `maxrl_jax.advantages`, `update.update` and `update.answers` (log-probabilities), `maxrl_jax.losses`.
"""
