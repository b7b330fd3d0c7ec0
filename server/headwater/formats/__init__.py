"""Outward forms of a log: pure encoders from events to bytes, one file each."""
