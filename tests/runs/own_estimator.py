"""An estimator of a user's own, named in configs as tests.runs.own_estimator:scaled."""


def scaled(rewards, scale=2.0):
    return scale * (rewards - rewards.mean(-1, keepdims=True))


not_callable = 3


def nothing(rewards):
    """Advantages of 0 for every reward."""
    return 0.0 * rewards
