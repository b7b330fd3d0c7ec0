"""As if it were not installed: httpx's own command line, which it and others bring in, is a third of a server's start.

Only what tests need installs it, so the servers that they start see what users' servers see.
"""

raise ImportError("not for the servers that tests start")
