"""Engines, contexts and rendering: the only room that knows Playwright."""
