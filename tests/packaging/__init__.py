"""Tests of how the project is installed, locked, documented and put into an image."""
