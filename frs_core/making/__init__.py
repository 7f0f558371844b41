"""What makes generalists, converts their weights and measures them; nothing that runs a robot imports it."""
