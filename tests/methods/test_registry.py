import pytest

from pancli.methods.registry import METHODS

EXPECTED = "exp brovey ihs sfim hpf wavelet pca gs gsa bdsd mtf-glp mtf-glp-hpm gfpca cnmf"


def test_the_table_holds_every_classical_method_once():
    assert list(METHODS) == EXPECTED.split()
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_contract_says_what_and_whence(method):
    contract = method.contract
    assert contract.bands is None
    assert contract.ratios[0] == 1.5
    assert contract.whole_scene == (method.name != "exp")
    assert 20 < len(contract.summary) < 100
    assert "\n" not in contract.summary
    assert any(character.isdigit() for character in contract.source)
