"""The pure part: no asyncio, sockets, clock, environment or randomness.

Everything here is decided from its arguments alone, so it can be tested by tables,
byte by byte, and under simulated schedules.
"""
