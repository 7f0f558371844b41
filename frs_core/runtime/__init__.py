"""What everything runs on: workers, the control rate, watchdogs, rows by name, files from elsewhere."""
