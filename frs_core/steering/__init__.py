"""The method: flows and their reversal, plans, directions, the facts of a policy, and what a candidate is."""
