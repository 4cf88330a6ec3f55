"""Trackers: one module a ticket system."""
