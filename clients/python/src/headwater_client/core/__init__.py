"""What both clients decide, without any I/O: no socket, no clock, no chance, no environment."""
