"""Real servers for tests: one module a server, each a pytest plugin with its fixtures (see `plugin`)."""
