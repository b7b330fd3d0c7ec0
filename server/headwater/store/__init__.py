"""Where logs live. `base.py` is the contract; each other file is one engine."""
