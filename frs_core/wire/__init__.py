"""The policy server's wire, from both ends: see docs/serving.md.

`codec` bytes · `observations`, `metadata` what the messages say · `client` one connection. The remote policy and the server are
made of these. Nothing is imported here, so that asking for one part does not load the others.
"""
