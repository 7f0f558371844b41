"""The policy server and its wire: see docs/serving.md.

`codec` bytes · `observations`, `metadata` what the messages say · `door` websocket server around one worker thread · `server`
what each message means to a policy · `client` one connection · `openpi_server` one file that runs inside an openpi checkout.
Nothing is imported here, so that asking for one part does not load the others.
"""
