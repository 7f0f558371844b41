"""The Practise layout: the robot tries by itself in simulation, and the best version is kept."""
