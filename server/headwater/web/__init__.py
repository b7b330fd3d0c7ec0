"""HTTP: parse, call a use case, render."""
