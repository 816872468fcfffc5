"""The container image: what is in it, and what it does as process 1 on a root that cannot be written."""

import http.client
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from proxy import __version__
from tests.deploy.containers import PATIENCE, ROOT, Container, Image, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

ANYWHERE = {"STRAIGHTWIRE_LISTEN__PORT": "0", "STRAIGHTWIRE_ADMIN__PORT": "0"}
BODY = {
    "model": "ggml-gpt4all-j",
    "stream": True,
    "messages": [{"role": "user", "content": "one two three four five six"}],
}


@pytest.fixture(scope="module")
def image() -> Image:
    return Image.built()


@pytest.fixture
def root(image: Image) -> Iterator[Path]:
    with image.unpacked() as path:
        yield path


@pytest.fixture
def localai(image: Image) -> Iterator[str]:
    """The embedded LocalAI, in a container of its own: its URL."""
    with image.unpacked() as path, Container(image, path, "demo", "--localai", "--listen", ":0") as container:
        yield re.search(r"http://\S+", container.line())[0]


def logged(container: Container, event: str) -> dict[str, Any]:
    """Return the next line of this event; each line on standard output is JSON."""
    while (line := json.loads(container.line()))["event"] != event:
        pass
    return line


def ask(stack: ExitStack, url: str) -> http.client.HTTPResponse:
    connection = stack.enter_context(
        closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE))
    )
    connection.request("POST", "/v1/chat/completions", json.dumps(BODY), {"Content-Type": "application/json"})
    return connection.getresponse()


def test_one_variable_is_enough_to_stream(image, root, localai):
    with (
        ExitStack() as stack,
        Container(image, root, STRAIGHTWIRE_UPSTREAM=localai, **ANYWHERE) as container,
    ):
        url = logged(container, "listening")["url"]
        assert url.startswith("http://0.0.0.0:"), "an address of the container alone cannot be published"
        stream = ask(stack, url).read()
        assert stream.startswith(b'data: {"id":"chatcmpl-')
        assert stream.count(b'"role":"assistant"') == 1
        assert stream.endswith(b"data: [DONE]\n\n")
        line = logged(container, "request")
        assert line["outcome"] == "complete"
        assert "event-line" in line["repairs"]


def test_a_mounted_file_configures_it(image, root, localai):
    (root / "config.yaml").write_text(
        f"listen: {{port: 0}}\nadmin: null\nupstreams: {{behind: {{url: '{localai}'}}}}\n"
    )
    with (
        ExitStack() as stack,
        Container(image, root, "serve", "--config", "/config.yaml") as container,
    ):
        assert ask(stack, logged(container, "listening")["url"]).read().endswith(b"data: [DONE]\n\n")
        assert logged(container, "request")["upstream"] == "behind"


def test_a_wrong_file_ends_it_with_2_and_a_line_for_each_mistake(image, root):
    (root / "config.yaml").write_text("listen: {prot: 1}\nupstreams: {local: {}}\n")
    with Container(image, root, "serve", "--config", "/config.yaml") as container:
        status, out, err = container.end()
    assert (status, out) == (2, "")
    assert [line.split(" ")[0] for line in err.splitlines()] == ["/config.yaml:1:", "/config.yaml:2:"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_lets_a_running_stream_end(image, root, localai, workers):
    settings = ANYWHERE | {"STRAIGHTWIRE_UPSTREAM": localai, "STRAIGHTWIRE_WORKERS": workers}
    with ExitStack() as stack, Container(image, root, **settings) as container:
        answer = ask(stack, logged(container, "listening")["url"])
        assert answer.readline().startswith(b"data: ")
        container.signal(signal.SIGTERM)
        assert answer.read().endswith(b"data: [DONE]\n\n")
        assert logged(container, "request")["outcome"] == "complete"
        status, out, err = container.end()
    assert (status, err) == (0, "")
    assert all(json.loads(line) for line in out.splitlines())


def test_sigterm_before_it_serves_ends_it(image, root):
    """The kernel keeps a signal that is not handled from process 1; an engine would wait in vain."""
    os.mkfifo(root / "config.yaml")
    (root / "config.yaml").chmod(0o644)
    with (
        Container(image, root, "serve", "--config", "/config.yaml") as container,
        (root / "config.yaml").open("w"),  # it opens once somebody reads, and waits
    ):
        container.signal(signal.SIGTERM)
        status, out, _ = container.end()
    assert (status, out) == (128 + signal.SIGTERM, "")


def test_the_health_check_knows_whether_it_is_ready(image, root, localai):
    kind, *command = image.config["Healthcheck"]["Test"]
    assert (kind, command) == ("CMD", ["straightwire", "health"]), "without a shell"
    with Container(image, root, STRAIGHTWIRE_UPSTREAM=localai, **ANYWHERE) as container:
        port = str(urlsplit(logged(container, "admin")["url"]).port)
        where = {"STRAIGHTWIRE_UPSTREAM": localai, "STRAIGHTWIRE_ADMIN__PORT": port}
        with image.unpacked() as beside:
            with Container(image, beside, "health", **where) as check:
                assert check.end() == (0, "ready\n", "")
            container.signal(signal.SIGTERM)
            container.end()
            with Container(image, beside, "health", **where) as check:
                status, _, told = check.end()
    assert status == 1
    assert len(told.splitlines()) == 1


def test_nothing_is_written_even_where_it_could_be(image, root, localai):
    """The root is read-only everywhere else; here it is not, and the user is root."""
    before = snapshot(root)
    with (
        ExitStack() as stack,
        Container(
            image, root, user="0:0", writable=True, STRAIGHTWIRE_UPSTREAM=localai, **ANYWHERE
        ) as container,
    ):
        ask(stack, logged(container, "listening")["url"]).read()
        container.signal(signal.SIGTERM)
        assert container.end()[0] == 0
    assert snapshot(root) == before


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


def test_the_user_has_a_number_and_is_not_root(image):
    user, group = image.config["User"].split(":")
    assert int(user) > 0, "Kubernetes' runAsNonRoot understands numbers alone"
    assert int(group) > 0


def test_neither_shell_nor_package_manager_is_in_it(image, root):
    tools = {"sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "pip", "pip3", "env", "ldconfig"}
    assert tools.isdisjoint(path.name for path in root.rglob("bin/*"))
    assert list(root.rglob("site-packages/pip")) == []
    programs = [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o7000]
    assert programs == [], "none that gives its caller another user's rights"


def test_it_is_as_small_as_the_documents_say(root):
    """Within a tenth: a jump shows that something crept in."""
    size = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    for page, said in (
        ("docs/deployment.md", r"It weighs (\d+) MB"),
        ("README.md", r"container of (\d+) MB"),
    ):
        (megabytes,) = re.findall(said, (ROOT / page).read_text("utf-8"))
        assert size / 1e6 < 1.1 * int(megabytes)


def test_the_labels_say_what_it_is(image):
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in image.config["Labels"].items()}
    assert labels["title"] == "straightwire"
    assert labels["version"] == __version__
    assert labels["licenses"] == "MIT"


def test_it_verifies_https_upstreams(image, root):
    """The authorities are where OpenSSL looks for them."""
    count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))"
    command = ["chroot", root, "/opt/straightwire/bin/python3", "-c", count]
    told = subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True
    )
    assert int(told.stdout) > 50
