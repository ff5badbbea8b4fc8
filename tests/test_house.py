from tests.test_architecture import *  # noqa: F403
