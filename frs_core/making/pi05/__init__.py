"""Fetch and convert weights of pi0.5, and measure it beside its peers."""
