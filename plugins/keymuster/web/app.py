"""The page of the latest audits inside Airflow's UI, with their reports. Every route needs Airflow's log-in; none changes anything."""

from pathlib import Path

from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from keymuster.settings import settings
from keymuster.web import reports

app = FastAPI(
    title="keymuster",
    dependencies=[Depends(get_user)],
    openapi_url=None,  # Airflow would serve it to anybody
    docs_url=None,
    redoc_url=None,
)
PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
HEADERS = {
    # A report needs its own style, no script, nothing from elsewhere, and none of Airflow's cookies.
    "Content-Security-Policy": "sandbox allow-popups allow-downloads; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; frame-ancestors 'self'"


@app.get("/", response_class=HTMLResponse)
def overview() -> Response:
    """The latest audits of every estate."""
    page = PAGES.get_template("overview.html").render(estates=reports.listing(settings().report_folder), shown=None)
    return HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": PAGE_POLICY})


@app.get("/view/{estate}/{folder}/{file}", response_class=HTMLResponse)
def view(estate: str, folder: str, file: str) -> Response:
    """The page with one report inside it."""
    _found(estate, folder, file)
    listing = reports.listing(settings().report_folder)
    page = PAGES.get_template("overview.html").render(estates=listing, shown=(estate, folder, file))
    return HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": PAGE_POLICY})


@app.get("/reports/{estate}/{folder}/{file}")
def report(estate: str, folder: str, file: str) -> Response:
    """One file of a report, alone; HTML is sandboxed, the rest is downloaded."""
    path = _found(estate, folder, file)
    name = None if path.suffix == ".html" else f"{estate}-{folder}-{file}"
    return FileResponse(path, media_type=reports.MEDIA_TYPES[path.suffix], headers=HEADERS, filename=name)


def _found(estate: str, folder: str, file: str) -> Path:
    path = reports.located(settings().report_folder, estate, folder, file)
    if path is None:
        raise HTTPException(404, "there is no such report")
    return path
