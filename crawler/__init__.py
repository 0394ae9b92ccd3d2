"""Reads the web: the only way out of the house to an address that a person, a page or a search result named."""
