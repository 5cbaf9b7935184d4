"""Engines, contexts and rendering: the only package that imports Playwright."""
