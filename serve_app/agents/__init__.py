"""Thinks: routes a request to an agent, quotes, checks, and tells what it does while it does it."""
