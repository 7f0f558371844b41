"""The codec under the policy server's name, for servers and clients of one's own; `frs_core.wire.codec` is what both sides share.

from frs_core.serving.codec import pack, unpack
"""

from frs_core.wire.codec import pack, unpack

__all__ = ["pack", "unpack"]
