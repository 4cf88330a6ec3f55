"""Sources: one module each, named as in the estate file. See `keymuster.sources.protocol` in CONTRIBUTING for the recipe."""
