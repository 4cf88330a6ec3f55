"""Takes the pictures of the README: one of a report, one of the Airflow UI after a run.

    python docs/screenshots.py report var/reports/sample/executive.html
    python docs/screenshots.py airflow http://localhost:8080 admin PASSWORD --page /dags

Needs Debian's chromium; for Airflow also the Python package playwright, which drives that chromium (it downloads no browser).
Pictures go to docs/img/ and stay below 300 kB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "img"
LIMIT = 300_000
BROWSER = "/usr/bin/chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDTH = 1200


def report(path: Path) -> Path:
    """Photograph the upper part of a report, as much of it as the limit allows."""
    target = IMAGES / "report.png"
    for height in (1500, 1300, 1100, 900):
        with tempfile.TemporaryDirectory() as profile:
            command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", f"--screenshot={target}"]
            subprocess.run([*command, path.resolve().as_uri()], check=True, capture_output=True, timeout=120)  # noqa: S603 (fixed command)
        if target.stat().st_size < LIMIT:
            return target
    raise SystemExit(f"{target}: larger than {LIMIT:,} bytes even at {WIDTH} × 900")


def airflow(url: str, user: str, password: str, page: str) -> Path:
    """Log in and photograph one page of the UI."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (only this picture needs it)

    target = IMAGES / "airflow.png"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=[flag for flag in FLAGS if flag != "--headless"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 800})
        tab.goto(url)
        tab.locator("input[name=username]").fill(user)
        tab.locator("input[name=password]").fill(password)
        tab.locator("button[type=submit]").click()
        tab.wait_for_url(lambda address: "login" not in address)
        tab.goto(url.rstrip("/") + page)
        tab.wait_for_load_state("networkidle")
        tab.screenshot(path=target)
        browser.close()
    if target.stat().st_size >= LIMIT:
        raise SystemExit(f"{target}: {target.stat().st_size:,} bytes are more than {LIMIT:,}")
    return target


def main(arguments: list[str]) -> None:
    """Parse the command line and print the picture's path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("report").add_argument("path", type=Path)
    ui = what.add_parser("airflow")
    for name in ("url", "user", "password"):
        ui.add_argument(name)
    ui.add_argument("--page", default="/dags", help="address below the URL")
    given = parser.parse_args(arguments)
    IMAGES.mkdir(parents=True, exist_ok=True)
    taken = report(given.path) if given.what == "report" else airflow(given.url, given.user, given.password, given.page)
    print(f"{taken} ({taken.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main(sys.argv[1:])
