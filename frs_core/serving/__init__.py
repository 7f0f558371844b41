"""The policy server: see docs/serving.md.

`websocket_server` the server around one worker thread · `server` what each message means to a policy · `openpi_server` one file that
runs inside an openpi checkout · `codec` pack and unpack, for servers of one's own. Codec and messages are `frs_core.wire`. Nothing is
imported here, so that asking for one part does not load the others.
"""
