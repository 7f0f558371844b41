"""The Train layout: from successes to a noise policy in the fan."""
