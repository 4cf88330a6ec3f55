"""The only file that Airflow's plugin walk sees: the page with the reports, inside Airflow's own UI.

Imported in every process, task processes included; so the web app itself is loaded on its first request only.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/keymuster"


class LazyApp:
    """An ASGI app that imports the real one when it is first asked: FastAPI costs a task more than a second."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        if self.app is None:
            module, name = self.target.split(":")
            self.app = getattr(importlib.import_module(module), name)
        await self.app(scope, receive, send)


class KeymusterPlugin(AirflowPlugin):
    """Reports under Browse."""

    name = "keymuster"
    fastapi_apps: ClassVar[list[Any]] = [{"app": LazyApp("keymuster.web.app:app"), "url_prefix": PREFIX, "name": "keymuster"}]
    external_views: ClassVar[list[Any]] = [
        {"name": "Key audits", "href": f"{PREFIX}/", "destination": "nav", "category": "browse", "url_route": "key-audits"}
    ]
