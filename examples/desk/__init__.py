"""A desk for scripts that use the cockpit as a person does: a screen of their own, key presses, and the status file."""
