"""Omeruta Brain: the knowledge brain itself, plain Python, no Ray."""
