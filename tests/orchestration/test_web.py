"""The page inside Airflow's UI: who gets in, what is shown, and that no path leads out of the report folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient

from keymuster.web import reports

EVIL = "<script>alert(1)</script>.html"


@pytest.fixture
def folder(home: Path) -> Path:
    audit = home / "reports" / "lab" / "20261105T040000Z-abc"
    audit.mkdir(parents=True)
    (audit / "executive.html").write_text("<h1>Report of lab</h1>")
    (audit / "findings.csv").write_text("key\n")
    (audit / EVIL.replace("/", "_")).write_text("x")
    (home / "reports" / "lab" / ".part").mkdir()
    (home / "secret.html").write_text("secret")
    (audit / "link.html").symlink_to(home / "secret.html")
    return audit


@pytest.fixture
def app() -> Any:
    from keymuster.web.app import app

    yield app
    app.dependency_overrides.clear()


@pytest.fixture
def client(app: Any) -> TestClient:
    from airflow.api_fastapi.core_api.security import get_user

    app.dependency_overrides[get_user] = lambda: "somebody"
    return TestClient(app)


def test_every_route_asks_for_the_log_in(app: Any) -> None:
    from airflow.api_fastapi.core_api.security import get_user

    def refuse() -> None:
        raise HTTPException(401)

    app.dependency_overrides[get_user] = refuse
    client = TestClient(app)
    paths = [route.path.replace("{", "").replace("}", "") for route in app.routes]
    assert len(paths) >= 3
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 401)


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc"])
def test_nothing_describes_the_app_to_strangers(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_page_lists_reports(client: TestClient, folder: Path) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert f"view/lab/{folder.name}/executive.html" in page.text
    assert f"reports/lab/{folder.name}/findings.csv" in page.text
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_without_reports_it_says_what_to_do(client: TestClient) -> None:
    assert "There is no report yet" in client.get("/").text


def test_a_report_is_shown_inside_and_sandboxed(client: TestClient, folder: Path) -> None:
    assert f'src="../../../reports/lab/{folder.name}/executive.html"' in client.get(f"/view/lab/{folder.name}/executive.html").text
    page = client.get(f"/reports/lab/{folder.name}/executive.html")
    assert page.text == "<h1>Report of lab</h1>"
    assert page.headers["content-security-policy"].startswith("sandbox allow-popups")
    data = client.get(f"/reports/lab/{folder.name}/findings.csv")
    assert "attachment" in data.headers["content-disposition"]


@pytest.mark.parametrize(
    "path",
    [
        "lab/{f}/../../../secret.html",
        "lab/{f}/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret.html",
        "../x/secret.html",
        "lab/{f}/link.html",
        "lab/{f}/none.html",
        "lab/.part/x.html",
        "lab/{f}/executive.html%00",
        "lab/{f}/.hidden.html",
        "%2e%2e/reports/lab",
    ],
)
def test_no_path_leads_out(client: TestClient, folder: Path, path: str) -> None:
    for route in ("reports", "view"):
        answer = client.get(f"/{route}/{path.format(f=folder.name)}")
        assert answer.status_code in {404, 405}
        assert "secret" not in answer.text


def test_listing_is_newest_first(folder: Path) -> None:
    later = folder.with_name("20261106T040000Z-def")
    later.mkdir()
    found = reports.listing(folder.parents[1])
    assert [f.name for f in found["lab"]] == [later.name, folder.name]
    assert found["lab"][1].files == ("executive.html", "findings.csv", "link.html")
    assert found["lab"][1].as_of == "2026-11-05 04:00"
