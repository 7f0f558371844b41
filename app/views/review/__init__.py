"""The Review layout: what was recorded, step by step."""
