"""Tests of keymuster; a package, so that two test modules may have the same name."""
