"""The guest images in the cache: which there are, what they consist of, whether they are whole."""
