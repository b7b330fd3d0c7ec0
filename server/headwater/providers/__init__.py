"""What turns a request into deltas. `base.py` is the contract; each other file is one kind of source."""
