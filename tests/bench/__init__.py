"""`python -m tests.bench`: what Headwater costs per token, beside plain peers on the same machine in the same minutes.

Every server is a process of its own: the upstream that plays the model, a peer, Headwater. The load comes from one
more. Servers are compared by their CPU time (user + system) per token delivered to a client, so a figure is a ratio
within the run; only delays and memory are absolute. Every token carries its number and the moment it was sent, and
every reader's stream is checked to the last token.
"""
