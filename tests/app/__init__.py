"""Tests of the cockpit. Offscreen unless marked gl; settings are always the test's own."""
