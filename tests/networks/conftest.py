import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """Fresh weights are the same in every run, whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
