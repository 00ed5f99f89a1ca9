"""Activations are the functions that transformers has under their names."""

import pytest
import torch
from transformers.activations import ACT2FN

from lbbt_mm.language.activations import ACTIVATIONS


@pytest.mark.parametrize('name', ACTIVATIONS)
def test_each_activation_is_transformers_own(name):
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(ACTIVATIONS[name](x), ACT2FN[name](x), rtol=1e-5, atol=1e-5)
