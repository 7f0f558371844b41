"""The small flow draws from both ways of doing a thing, where a regression answers with what nobody did."""

from dataclasses import replace

import torch

from frs_core.learning.fit import Data, fit
from frs_core.learning.network import Inputs, SmallNet
from frs_core.learning.progress import ignore_progress
from frs_core.learning.settings import FitSettings, InputSettings, NetworkSettings
from frs_core.learning.small_flow import draw, extra_size, flow_matching

NUMBERS = 4


def test_half_left_and_half_right_is_drawn_as_left_or_right_and_not_as_neither() -> None:
    torch.manual_seed(0)
    sides = torch.randint(0, 2, (256, 1)) * 2.0 - 1.0
    label = sides.repeat(1, NUMBERS) * 2.0 + 0.05 * torch.randn(256, NUMBERS)
    inputs = Inputs(torch.randn(256, 3), torch.zeros(256, 0))
    network = SmallNet(
        InputSettings(proprio=False),
        NetworkSettings(hidden=64, layers=2),
        feature_size=3,
        proprio_size=0,
        output_size=NUMBERS,
        extra_size=extra_size(NUMBERS),
    )
    settings = replace(FitSettings(), steps=600, held_out=0.0, refit=False)
    fit(network, flow_matching, Data(inputs, label), None, settings, on_progress=ignore_progress)
    network.eval()
    with torch.no_grad():
        drawn = draw(network, inputs, NUMBERS, steps=5, seed=1).mean(dim=1)
        again = draw(network, inputs, NUMBERS, steps=5, seed=1).mean(dim=1)
    assert torch.equal(drawn, again)
    assert float((drawn.abs() > 1.4).float().mean()) > 0.9
    assert 0.3 < float((drawn > 0).float().mean()) < 0.7
