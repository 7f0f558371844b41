"""Make the fan: every direction's future in one batch, and what is known about each."""
