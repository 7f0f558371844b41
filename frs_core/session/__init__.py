"""The session: observe, fan, pick, execute, record. See docs/session.md."""

from frs_core.session.options import SessionOptions
from frs_core.session.session import EpisodeResult, Session

__all__ = ["EpisodeResult", "Session", "SessionOptions"]
