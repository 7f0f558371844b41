"""Blinded comparisons: choosing, attempts and results. GUI thread."""
