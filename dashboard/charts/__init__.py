"""Data frames in, a figure out: nothing is read and nothing is kept."""
