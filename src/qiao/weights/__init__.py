"""Weights on disk: what a file holds, where files are found, what memory they need."""
