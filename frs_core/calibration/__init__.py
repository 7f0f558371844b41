"""Find the steering settings that suit a policy: measure many plans, keep the best with the policy's fingerprint."""

from frs_core.calibration.measure import PlanScore, Prior, sample_prior, score_plan
from frs_core.calibration.sweep import grid, sweep

__all__ = ["PlanScore", "Prior", "grid", "sample_prior", "score_plan", "sweep"]
