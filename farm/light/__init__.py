"""The light engine: a program that runs a page's scripts and paints nothing, driven over CDP."""
