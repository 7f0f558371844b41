"""Operate the cockpit from a script as a person does: on a screen of its own, by key presses, with the status file."""
