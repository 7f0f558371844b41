"""The robot and what it may do: observations, action spaces, kinematics, limits, and how they are kept."""
