"""The real workers in a world of chance: virtual time, a store, news and upstreams that fail, each from one seed."""
