"""What every generalist keeps to."""

import numpy as np
import pytest
import torch

from frs_core.errors import ShapeMismatch
from frs_core.policies.base import FlowPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.methods import gaussian


class FlowPolicyContract:
    """Inherit it and say how your policy is made, and what it can look at."""

    rows_tolerance = 1e-4
    """How far a row's velocity may depend on the others, normalised units; batched kernels sum in another order."""

    def make(self) -> FlowPolicy:
        """Return a policy, ready; making it twice gives the same."""
        raise NotImplementedError

    def observation(self) -> Observation:
        """Return something with the policy's cameras."""
        raise NotImplementedError

    def test_the_facts_fit_each_other(self) -> None:
        policy = self.make()
        spec = policy.spec
        assert 0 < spec.execute_rows <= spec.horizon
        assert spec.flow.size <= spec.width
        assert spec.fingerprint == self.make().spec.fingerprint != ""
        assert policy.default_plan.steps >= 1

    def test_encoding_gives_the_features_it_promises(self) -> None:
        policy, seen = self.make(), self.observation()
        context = policy.encode(seen)
        assert context.features.shape == (policy.spec.feature_size,)
        assert context.captured_ns == seen.captured_ns

    def test_a_noise_always_gives_the_same_chunk_whoever_is_beside_it(self) -> None:
        policy, seen = self.make(), self.observation()
        context, spec = policy.encode(seen), policy.spec
        noise = gaussian((3, spec.horizon, spec.width), seed=4)
        together, again = policy.denoise(context, noise), policy.denoise(context, noise)
        assert torch.equal(together, again)
        alone = policy.denoise(context, noise[1:2])
        torch.testing.assert_close(alone[0], together[1], atol=self.rows_tolerance, rtol=0.0)
        chunk = policy.to_robot(together, seen)
        assert chunk.shape == (3, spec.horizon, spec.action_space.size)
        assert np.isfinite(chunk).all()

    def test_a_noise_of_another_shape_is_refused(self) -> None:
        policy = self.make()
        context, spec = policy.encode(self.observation()), policy.spec
        with pytest.raises(ShapeMismatch, match=spec.name):
            policy.denoise(context, torch.zeros(1, spec.horizon + 1, spec.width))

    def test_closing_twice_is_safe(self) -> None:
        policy = self.make()
        policy.close()
        policy.close()
