"""Every block of commands in the documents is run here, as it stands, or says why it is not.

`<!-- not run: WHY -->` before a block leaves it out; `<!-- beside: COMMAND -->` runs a command as long as the
block does. Each block has a network of its own, so that it finds the ports free that it names.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md")
PATIENCE = 90
NEEDED = ("bash", "curl", "ip", "make", "unshare")
ABSENT = [tool for tool in NEEDED if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]

#: A command that stays in the foreground until it is stopped.
SERVES = re.compile(r"^(make run|\S*straightwire serve)\b", re.MULTILINE)
#: What a block runs in: it fails at the first failure, and knows when the proxy listens.
SURROUNDINGS = """\
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
ip link set lo up
listening() { until (: </dev/tcp/127.0.0.1/8081) 2>/dev/null; do kill -0 $1; sleep 0.05; done; }
"""


@dataclass(frozen=True)
class Block:
    """Commands in a document, with the remark before them."""

    place: str
    commands: str
    remark: str
    words: str

    def __str__(self) -> str:
        return self.place


def blocks() -> list[Block]:
    """Return the blocks of all documents, in their order."""
    found = []
    shape = re.compile(
        r"(?:^<!-- (not run|beside): ([^\n]+) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL
    )
    for page in sorted(path for pattern in PAGES for path in ROOT.glob(pattern)):
        text = page.read_text("utf-8")
        for match in shape.finditer(text):
            line = text.count("\n", 0, match.start(3))
            place = f"{page.relative_to(ROOT)}:{line}"
            found.append(Block(place, match[3], match[1] or "", match[2] or ""))
    return found


BLOCKS = blocks()


def script(block: Block, folder: Path) -> str:
    """Return a block with what it runs in. README.md's example is its straightwire.yaml."""
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    file = folder / "straightwire.yaml"
    file.write_text(example)
    commands = re.sub(r"(?<!\S)straightwire\.yaml", str(file), block.commands)
    if SERVES.search(commands):
        body = f"{{\n{commands}}} &\nlistening $!\n"
    elif block.remark == "beside":
        body = f"{block.words} &\nlistening $!\n{commands}"
    else:
        body = commands
    venv = Path(sys.executable).parent
    return (
        (SURROUNDINGS + body)
        .replace(".venv/bin/", f"{venv}/")
        .replace("make run", f"make VENV={venv.parent} run")
    )


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
@pytest.mark.parametrize("block", [block for block in BLOCKS if block.remark != "not run"], ids=str)
def test_it_works_as_it_stands(block, tmp_path):
    network = ["unshare", "--net", *(["--map-root-user"] if os.geteuid() else [])]
    said = tmp_path / "said"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [*network, "bash", "-c", script(block, tmp_path)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # what still serves
    assert status == 0, said.read_text()


def test_what_is_not_run_says_why():
    assert [block for block in BLOCKS if block.remark == "not run" and len(block.words.split()) < 2] == []


def test_each_way_is_shown_in_ten_lines():
    assert [str(block) for block in BLOCKS if len(block.commands.splitlines()) > 10] == []


def test_no_block_hides_from_this():
    """One language for commands, so that none is overlooked."""
    others = [
        (page.name, language)
        for pattern in PAGES
        for page in ROOT.glob(pattern)
        for language in re.findall(r"^ *```(bash|console|shell|zsh)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert others == []
    assert len(BLOCKS) == sum(
        page.read_text("utf-8").count("```sh\n") for pattern in PAGES for page in ROOT.glob(pattern)
    )
