"""What the other packages run on: workers, the control rate, watchdogs, registries, reading untrusted files."""
