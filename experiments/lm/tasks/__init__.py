"""The tasks of the language-model driver: `table.TASKS`, and what each needs beside `maxrl_jax.tasks`."""
