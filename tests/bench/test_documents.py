"""What README.md and docs/performance.md quote is what was measured."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from bench import chart, documents, fleet, report
from bench.__main__ import bench
from bench.loads import LOADS
from bench.peers import PEERS

PAGES = ("README.md", "docs/performance.md", "docs/performance.svg")
ALL = (*PAGES, "docs/scaling.md")


def test_the_documents_quote_the_results_that_are_kept():
    rendered = documents.render(documents.quoted())
    assert sorted(rendered) == sorted(documents.ROOT / page for page in ALL)
    assert [path for path, text in rendered.items() if path.read_text("utf-8") != text] == []


def test_other_results_take_their_place(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    for page in ALL:
        (tmp_path / page).write_text((documents.ROOT / page).read_text("utf-8"), "utf-8")
    measured = documents.quoted()
    measured["goals"][0]["values"] = [1.1125]
    (tmp_path / "new.json").write_text(json.dumps(measured), "utf-8")
    monkeypatch.setattr(documents, "ROOT", tmp_path)
    monkeypatch.setattr(documents, "RESULTS", tmp_path / "kept.json")

    result = CliRunner().invoke(bench, ["--write-docs", str(tmp_path / "new.json")])

    assert (result.exit_code, result.output) == (0, "")
    assert [page for page in PAGES if "1.11 ×" not in (tmp_path / page).read_text("utf-8")] == []
    assert documents.quoted() == measured


@pytest.mark.parametrize("load", [*LOADS, "open", "start"])
def test_the_page_tells_every_load(load):
    assert f"| `{load}` |" in (documents.ROOT / "docs" / "performance.md").read_text("utf-8")


@pytest.mark.parametrize("peer", PEERS)
def test_the_page_names_every_peer(peer):
    assert peer in (documents.ROOT / "docs" / "performance.md").read_text("utf-8").lower()


@pytest.mark.parametrize(
    ("share", "width"), [(0.0, 0.0), (0.5, 105.0), (1.0, 210.0), (2.0, 420.0), (7.0, 420.0)]
)
def test_a_bar_is_a_share_of_its_target(share, width):
    result = report.results(documents.quoted())[0]
    drawing = ElementTree.fromstring(  # noqa: S314 - the text is ours
        chart.svg([replace(result, target=2.0, stretch=1.5, values=(2 * share,))])
    )

    (bar,) = (rect for rect in drawing.findall(".//{*}rect") if rect.get("class") in {"met", "missed"})

    assert float(bar.get("width")) == width
    assert bar.get("class") == ("met" if share <= 1 else "missed")
    assert any(text.text.endswith("▸") for text in drawing.findall(".//{*}text")) == (share > 2)


def test_a_whisker_goes_from_the_best_round_to_the_worst():
    result = report.results(documents.quoted())[0]
    drawing = ElementTree.fromstring(  # noqa: S314 - the text is ours
        chart.svg([replace(result, target=2.0, stretch=1.5, values=(1.0, 3.0, 2.0))])
    )
    (whisker,) = (line for line in drawing.findall(".//{*}line") if line.get("class") == "whisker")
    (stretch,) = (line for line in drawing.findall(".//{*}line") if line.get("class") == "stretch")
    (target,) = (line for line in drawing.findall(".//{*}line") if line.get("class") == "line")
    places = [
        float(place) for place in (whisker.get("x1"), stretch.get("x1"), target.get("x1"), whisker.get("x2"))
    ]
    assert places == [240 + 105, 240 + 157.5, 240 + 210, 240 + 315]


def test_a_fleet_is_what_its_parts_take():
    costs = fleet.Costs(frame=30.0, stream=32.0, process=64.0)
    assert round(costs.cores(20)) == 1000, "20 million frames of 30 µs, on cores that are 60 % busy"
    assert round(costs.memory(20)) == 31 + 62, "a million times 32 KiB, a thousand times 64 MiB"


def test_a_measuring_without_its_figures_tells_of_no_fleet():
    measured = documents.quoted()
    del measured["targets"]["paced"]
    assert list(fleet.parts(measured)) == []
