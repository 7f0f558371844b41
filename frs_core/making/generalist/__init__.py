"""Make a small generalist: demonstrations by a world's scripted expert, three training stages, corrections."""
