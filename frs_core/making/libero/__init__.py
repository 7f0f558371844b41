"""Make the LIBERO generalist: its scripted demonstrator, and where every object is."""
