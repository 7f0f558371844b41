"""The session: observe, fan, pick, execute, record. See docs/session.md."""

from frs_core.session.inline import EpisodeResult, InlineSession
from frs_core.session.live import LiveSession
from frs_core.session.options import SessionOptions

__all__ = ["EpisodeResult", "InlineSession", "LiveSession", "SessionOptions"]
