import pytest

from tests.compile_cache import kept_in


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    with kept_in(tmp_path_factory.mktemp("compiled_llm")):
        yield
