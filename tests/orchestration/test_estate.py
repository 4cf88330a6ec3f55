from __future__ import annotations

import os
from pathlib import Path

import pytest

from keymuster.errors import EstateError
from keymuster.orchestration.estate import load_estates, station_named
from keymuster.settings import PROJECT, settings

GOOD = """
estate: lab
stations:
  - {name: lab-files, source: files, schedule: '0 3 * * *', owner: lab, settings: {paths: [pki, ~/keys, /etc/ssl]}}
  - {name: lab-more, source: files, settings: {paths: [more]}}
"""


def write(folder: Path, text: str, name: str = "estate.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_reads_stations(tmp_path: Path) -> None:
    (estate,) = load_estates([write(tmp_path, GOOD)])
    first, second = estate.stations
    assert (estate.name, first.name, first.source, first.schedule, first.owner) == ("lab", "lab-files", "files", "0 3 * * *", "lab")
    assert (second.schedule, second.connection, second.estate) == (None, None, "lab")


def test_paths_in_settings_are_relative_to_the_estate_file(tmp_path: Path) -> None:
    station = station_named("lab-files", load_estates([write(tmp_path, GOOD)]))
    paths = station.settings_of({}).model_dump()["paths"]
    assert [Path(p) for p in paths] == [tmp_path / "pki", Path.home() / "keys", Path("/etc/ssl")]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (GOOD.replace("source: files, schedule", "source: pem_file, schedule"), ["'lab-files'", "no source named 'pem_file'", "files"]),
        (GOOD.replace("lab-more", "lab-files"), ["the station 'lab-files' is there twice"]),
        (GOOD.replace("0 3 * * *", "0 3 * *"), ["'lab-files'", "schedule", "no cron expression", "'0 3 * * *'"]),
        (GOOD.replace("lab-more", "Lab More"), ["'Lab More' is no name"]),
        (GOOD.replace("owner: lab", "ownr: lab"), ["'lab-files'", "ownr", "Extra inputs are not permitted"]),
        ("estate: lab\nstations: []\n", ["stations"]),
        ("- a\n- b\n", ["a mapping with the keys estate and stations"]),
        ("estate: [\n", ["not valid YAML"]),
        (GOOD.replace("estate: lab", "estate: lab\npolicies: [nowhere.yaml]"), ["there is no file", "nowhere.yaml"]),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, wrong: str, words: list[str]) -> None:
    path = write(tmp_path, wrong)
    with pytest.raises(EstateError) as caught:
        load_estates([path])
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EstateError, match=r"none\.yaml: cannot be read"):
        load_estates([tmp_path / "none.yaml"])


def test_a_station_may_be_in_one_estate_only(tmp_path: Path) -> None:
    one, two = write(tmp_path, GOOD), write(tmp_path, GOOD.replace("estate: lab", "estate: two"), "two.yaml")
    with pytest.raises(EstateError, match=f"{two}: the station 'lab-files' is there twice; the other one is in {one}"):
        load_estates([one, two])


def test_a_wrong_setting_names_file_station_and_field_but_not_the_value(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("paths: [more]", "pahts: hunter2"))
    with pytest.raises(EstateError) as caught:
        station_named("lab-more", load_estates([path])).settings_of({})
    for word in (str(path), "'lab-more'", "pahts", "paths"):
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_station_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(EstateError, match="no station named 'x'; there are lab-files, lab-more"):
        station_named("x", load_estates([write(tmp_path, GOOD)]))


def test_estates_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = write(tmp_path, GOOD.replace("lab", "two"), "two.yaml")
    monkeypatch.setenv("KEYMUSTER_ESTATES", f"{write(tmp_path, GOOD)}{os.pathsep}{two}")
    settings.cache_clear()
    assert [estate.name for estate in load_estates()] == ["lab", "two"]


def test_the_shipped_estate_is_this_machine() -> None:
    (estate,) = load_estates([PROJECT / "dags" / "estate.yaml"])
    assert [s.name for s in estate.stations] == ["machine-files", "machine-trust-store", "machine-ssh", "machine-tls"]
    for station in estate.stations:
        assert station.settings_of({})
    assert estate.policy
