"""Renderers: one module a format."""
