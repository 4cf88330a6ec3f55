"""keymuster: calls every certificate and key of an organisation to muster."""

__version__ = "0.1.0"
