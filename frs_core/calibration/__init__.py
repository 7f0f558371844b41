"""Find the best steering settings for a policy: measure many plans and store the best with the policy's fingerprint."""

from frs_core.calibration.measure import PlanScore, Prior, sample_prior, score_plan
from frs_core.calibration.sweep import grid, sweep

__all__ = ["PlanScore", "Prior", "grid", "sample_prior", "score_plan", "sweep"]
