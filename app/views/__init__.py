"""Views: each takes a model or a snapshot and paints it; none knows the session."""
