import pytest

from pancli.device import using_threads


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny batches gain nothing from threads, which wait on each other where cores are shared."""
    with using_threads(1):
        yield
