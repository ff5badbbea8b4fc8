from tests.vision.conftest import prepared, small_archives  # noqa: F401
