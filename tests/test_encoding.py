from __future__ import annotations

import numpy as np
import pytest
import torch

from pancli.encoding import Encoding, fits
from pancli.errors import MethodError


def encode(values, dtype, nodata=None, valid=None):
    fused = torch.tensor(values, dtype=torch.float32)[None, None]
    mask = torch.ones(fused.shape[1:], dtype=torch.bool) if valid is None else torch.tensor([valid])
    return Encoding(dtype, nodata)(fused, mask)[0, 0].tolist()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", [0, 0, 2, 2, 255]),
        ("int8", [-3, 0, 2, 2, 127]),
        ("int16", [-3, 0, 2, 2, 32767]),
        ("uint16", [0, 0, 2, 2, 65535]),
        ("int32", [-3, 0, 2, 2, 70000]),
    ],
)
def test_integers_are_rounded_and_clipped(dtype, expected):
    assert encode([-3.2, 0.5, 1.5, 2.4, 7e4], dtype) == expected


def test_numbers_are_clipped_to_32_bits_exactly():
    assert encode([-3e9, 3e9], "int32") == [-(2**31), 2**31 - 1]
    assert encode([-1.0, 5e9], "uint32") == [0, 2**32 - 1]


def test_numbers_are_clipped_to_64_bits_as_nearly_as_floats_have_them():
    assert encode([-1.0, 2.0**64, 1e20], "uint64") == [0, 2**64 - 2048, 2**64 - 2048]
    assert encode([-1e20, 2.0**63, 1e20], "int64") == [-(2**63), 2**63 - 1024, 2**63 - 1024]


def test_only_valid_numbers_are_counted_as_clipped():
    fused, valid = torch.tensor([[[-1.0, 300.0, 300.0, 7.0]]]), torch.tensor([[True, True, False, True]])
    assert Encoding("uint8", None).beyond(fused, valid) == 2


def test_floats_pass_unchanged():
    assert encode([-3.25, 1e9], "float64") == [-3.25, 1e9]


def test_half_precision_is_clipped_and_counted():
    fused, valid = torch.tensor([[[7e4, -7e4, 65504.0, 0.25]]]), torch.ones(1, 4, dtype=torch.bool)
    half = Encoding("float32", None, 16)
    assert half(fused, valid).ravel().tolist() == [65504.0, -65504.0, 65504.0, 0.25]
    assert half.beyond(fused, valid) == 2


@pytest.mark.parametrize(
    ("dtype", "nodata", "other"), [("uint8", 0, 1), ("uint8", 255, 254), ("int16", -5, -4)]
)
def test_a_valid_pixel_steps_off_nodata(dtype, nodata, other):
    assert encode([nodata, nodata], dtype, nodata, [True, False]) == [other, nodata]


def test_a_valid_float_steps_off_nodata_by_the_least():
    got = encode([-9999.0, 5.0], "float32", -9999.0, [True, False])
    assert got[0] == float(np.nextafter(np.float32(-9999), np.float32(np.inf)))
    assert got[1] == -9999.0
    assert np.isnan(encode([1.0, 2.0], "float32", float("nan"), [True, False])[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_a_number_is_an_error_only_where_valid(value):
    assert encode([1.0, value], "uint8", None, [True, False]) == [1, 0]
    with pytest.raises(MethodError, match="not a number .* float32"):
        encode([1.0, value], "uint8")


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (255, "uint8", True),
        (256, "uint8", False),
        (0.5, "int16", False),
        (float("inf"), "uint16", False),
        (float("nan"), "uint16", False),
        (float("-inf"), "float32", True),
        (-3.40282346639e38, "float32", True),  # as it is printed
        (-1.797e308, "float32", False),
        (-1.797e308, "float64", True),
        (-(2.0**63), "int64", False),  # files get fifteen digits of it
        (-9999.0, "int64", True),
    ],
)
def test_a_nodata_value_fits_what_can_hold_it(value, dtype, expected):
    assert fits(value, dtype) is expected


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("uint8", [-1e-6, -0.4, 255.4, 255.0], 0),
        ("uint8", [-0.6, 12.0, 255.6, float("nan")], 2),
        ("int16", [-32768.4, -32769.0, 32767.4, 32768.0], 2),
        ("uint32", [-0.4, -1.0, 4294967040.0, 4294967296.0], 2),
        ("int32", [-2147483648.0, 2147483520.0, 2147483648.0, 5e9], 2),
        ("float32", [-1e30, 1e30, 0.0, float("nan")], 0),
    ],
)
def test_what_is_only_rounded_is_not_told_as_clipped(dtype, values, expected):
    fused = torch.tensor(values)[None, None]
    assert Encoding(dtype, None).beyond(fused, fused.isfinite()[0]) == expected


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 7.0])
def test_what_is_stored_is_a_copy(dtype, nodata):
    kind = torch.float64 if dtype == "float64" else torch.float32
    fused = torch.tensor([[[1.0, 2.0, 7.0]]], dtype=kind)
    before = fused.clone()
    stored = Encoding(dtype, nodata)(fused, torch.tensor([[True, False, True]]))
    assert stored[0, 0, 1] == (nodata or 0)
    assert torch.equal(fused, before)
