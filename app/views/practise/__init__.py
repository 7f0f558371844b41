"""The Practise layout: the robot improves by trial and error, and the best version is kept."""
