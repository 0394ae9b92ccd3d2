"""Models: language model engines, embedders and their weights. Importing this package loads none of them."""
