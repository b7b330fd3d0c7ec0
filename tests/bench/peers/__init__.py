"""What one would write without Headwater: the servers it is compared with."""
