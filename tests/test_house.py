"""The laws of the house hold in proxy/, and each law is shown to find what it forbids."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parents[1]
MODULES = house.read_modules(ROOT / "proxy")

LAWS = [
    house.aiohttp_outside,
    house.impurities,
    house.long_modules,
    house.meaningless_names,
    house.modules_without_floor,
    house.rising_imports,
    house.untrue_maps,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_holds(law):
    assert law(MODULES) == []


def test_tree_is_read_whole():
    assert {"proxy", "proxy.errors"} <= set(MODULES)
    assert len(MODULES) == len(list((ROOT / "proxy").rglob("*.py")))


#: What a module may import, and what it may not; neither looks at where the import stands.
ALLOWED = [
    ("proxy.cli", "from proxy.server.app import serve"),
    ("proxy.cli", "from proxy.demo import app"),
    ("proxy.cli", "from proxy import __version__"),
    ("proxy.__main__", "from proxy.cli import main"),
    ("proxy.server.app", "from proxy.wire.sse import EventDecoder"),
    ("proxy.server.app", "from . import relay"),
    ("proxy.config.load", "from proxy.errors import ConfigurationError"),
    ("proxy.wire.plan", "from proxy.wire.repairs import CATALOGUE"),
    ("proxy.wire.plan", "import orjson"),
    ("proxy.demo.app", "from .answers import echo"),
    ("proxy.demo.app", "import aiohttp"),
]
FORBIDDEN = [
    ("proxy.errors", "from proxy.wire import sse"),
    ("proxy.errors", "import proxy.cli"),
    ("proxy.wire.plan", "from proxy.config.schema import Switches"),
    ("proxy.wire.plan", "from proxy import config"),
    ("proxy.wire.plan", "from ..config import schema"),
    ("proxy.wire.plan", "def late():\n    from proxy.server import relay"),
    ("proxy.wire.plan", "if TYPE_CHECKING:\n    import proxy.config.schema"),
    ("proxy.wire.repairs", "from ... import server"),
    ("proxy.config.load", "import proxy.server.app as app"),
    ("proxy.server.app", "from proxy.cli import main"),
    ("proxy.server.app", "from proxy.__main__ import main"),
    ("proxy.server.app", "from proxy.demo import app"),
    ("proxy.demo.app", "from proxy.errors import error_body"),
    ("proxy.demo.app", "from proxy import __version__"),
    ("proxy", "from proxy.errors import StraightwireError"),
]


def planted(name: str, source: str) -> house.Modules:
    """Return a small house with one module exchanged."""
    rooms = [
        "proxy",
        "proxy.cli",
        "proxy.__main__",
        "proxy.errors",
        "proxy.server.app",
        "proxy.server.relay",
    ]
    rooms += ["proxy.config.load", "proxy.config.schema", "proxy.wire.plan", "proxy.wire.sse"]
    rooms += ["proxy.wire.repairs", "proxy.wire.repairs.framing", "proxy.demo.app", "proxy.demo.answers"]
    return dict.fromkeys(rooms, "") | {name: source}


@pytest.mark.parametrize(("name", "source"), ALLOWED)
def test_import_that_runs_down_is_allowed(name, source):
    modules = planted(name, source)

    assert [breach for law in LAWS for breach in law(modules)] == []


@pytest.mark.parametrize(("name", "source"), FORBIDDEN)
def test_import_that_runs_up_is_found(name, source):
    breaches = house.rising_imports(planted(name, source))

    assert len(breaches) == 1
    assert breaches[0].startswith(f"{name}:{len(source.splitlines())}: ")


@pytest.mark.parametrize("module", sorted(house.NOT_IN_WIRE))
@pytest.mark.parametrize("form", ["import {}", "import {}.part as other", "from {} import thing"])
def test_impure_import_in_wire_is_found(module, form):
    source = form.format(module)

    assert len(house.impurities(planted("proxy.wire.plan", source))) == 1
    assert house.impurities(planted("proxy.server.app", source)) == []


def test_impure_call_in_wire_is_found():
    source = "def peek(path):\n    return open(path)"

    assert house.impurities(planted("proxy.wire.sse", source)) == [
        "proxy.wire.sse:2: wire must not use open()"
    ]


@pytest.mark.parametrize("name", ["proxy.config.load", "proxy.errors"])
def test_aiohttp_outside_of_its_rooms_is_found(name):
    assert len(house.aiohttp_outside(planted(name, "from aiohttp import web"))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from aiohttp import ClientSession",
        "from aiohttp import TCPConnector, web",
        "from aiohttp.client_exceptions import ServerDisconnectedError",
        "import aiohttp\nsession = aiohttp.ClientSession()",
        "import aiohttp as http\nerror = http.ClientError",
    ],
)
def test_aiohttps_client_outside_of_its_rooms_is_found(source):
    assert len(house.aiohttp_outside(planted("proxy.server.relay", source))) == 1
    assert house.aiohttp_outside(planted(f"{house.CLIENT_ROOM}.connector", source)) == []


@pytest.mark.parametrize("name", ["utils", "_helpers", "stream_utils", "connection_manager", "base"])
def test_name_that_says_nothing_is_found(name):
    assert len(house.meaningless_names(planted(f"proxy.wire.{name}", ""))) == 1


def test_name_that_only_contains_such_a_word_is_allowed():
    assert house.meaningless_names(planted("proxy.config.database", "")) == []


def test_long_module_is_found():
    assert house.long_modules(planted("proxy.cli", "x = 1\n" * 300)) == []
    assert house.long_modules(planted("proxy.cli", "x = 1\n" * 301)) == [
        "proxy.cli: 301 lines, 300 are allowed"
    ]


@pytest.mark.parametrize(
    ("shown", "odd"),
    [
        (["plan", "repairs", "sse"], None),
        ([], None),
        (["plan", "repairs"], "sse"),
        (["plan", "plan", "repairs", "sse"], "plan"),
        (["cellar", "plan", "repairs", "sse"], "cellar"),
    ],
)
def test_map_that_is_not_true_is_found(shown, odd):
    lines = "\n".join(f"    {name}  a room" for name in shown)
    modules = planted("proxy.wire", f'"""Rooms.\n\n{lines}\n"""')

    assert house.untrue_maps(modules) == ([f"proxy.wire: its map is wrong about {odd}"] if odd else [])


def test_map_of_a_room_in_a_room_is_read_too():
    modules = planted("proxy.wire.repairs", '"""Rooms.\n\n    cellar  a room\n"""')

    assert house.untrue_maps(modules) == ["proxy.wire.repairs: its map is wrong about cellar, framing"]


def test_module_without_floor_is_found():
    assert house.modules_without_floor(planted("proxy.attic", "")) == ["proxy.attic: stands on no floor"]


IMPORT_EACH_ALONE = """
import importlib, sys, traceback

failed = False
for name in sys.argv[1:]:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "proxy"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except BaseException:
        failed = True
        print(f"--- {name}", traceback.format_exc(), sep="\\n")
sys.exit(failed)
"""


def import_each_alone(names: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORT_EACH_ALONE, *names],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_imports_alone():
    result = import_each_alone(list(MODULES), ROOT)

    assert result.returncode == 0, result.stdout


def test_circular_import_is_found(tmp_path):
    package = tmp_path / "proxy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "first.py").write_text("from proxy.second import two\none = 1\n")
    (package / "second.py").write_text("import proxy.first\ntwo = 2\n")
    (package / "third.py").write_text("from proxy.second import two\nfrom proxy.first import one\n")

    result = import_each_alone(["proxy.first", "proxy.second", "proxy.third"], tmp_path)

    assert result.returncode == 1
    assert [line for line in result.stdout.splitlines() if line.startswith("---")] == [
        "--- proxy.second",
        "--- proxy.third",
    ]


UNDOCUMENTED = '''"""A module."""


class Relay:
    def run(self) -> None: ...


def start() -> None: ...
'''


def test_public_name_without_docstring_is_found():
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "proxy/wire/planted.py"]
    result = subprocess.run(
        [*command, "--output-format=concise", "-"],
        cwd=ROOT,
        input=UNDOCUMENTED,
        capture_output=True,
        text=True,
        check=False,
    )

    assert [code for code in ("D101", "D102", "D103") if f" {code} " in result.stdout] == [
        "D101",
        "D102",
        "D103",
    ]
