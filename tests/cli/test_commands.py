"""The commands, as a user runs them: each in a process of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy import __version__, cli
from proxy.wire.repairs import CATALOGUE

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "proxy"]
PATIENCE = 30


def straightwire(*arguments, **environ):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("STRAIGHTWIRE_")}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment | environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_version():
    assert straightwire("--version").stdout == f"straightwire, version {__version__}\n"


def test_no_command_shows_the_help():
    ran = straightwire()
    assert ran.returncode == 2
    assert ran.stderr.startswith("Usage: straightwire ")


def test_help_names_every_command():
    told = straightwire("--help").stdout
    assert all(f"\n  {name} " in told for name in ("serve", "demo", "config", "health", "repairs"))
    assert "..." not in told.partition("Commands:")[2], "what a command does is cut short"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sevre"], "No such command 'sevre'. Did you mean 'serve'? `straightwire --help` tells more."),
        (["nonsense"], "No such command 'nonsense'. `straightwire --help` tells more."),
        (["config", "schema", "x"], "Got unexpected extra argument (x). `straightwire --help` tells more."),
        (["demo", "--serve", "--localai"], "choose one"),
        (["demo", "--listen", "127.0.0.1:0"], "--listen needs --serve or --localai"),
        (["serve", "--upstreem", "http://127.0.0.1:9"], "No such option"),
        (["serve", "--workers", "many"], "'many' is not a valid integer"),
        (["config", "check"], "Missing argument 'FILE'"),
        (["repairs", "nonsense"], "There is no repair called nonsense"),
    ],
)
def test_wrong_usage_is_one_line(arguments, said):
    ran = straightwire(*arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_cannot_be_written_is_one_line():
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*COMMAND, "repairs"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr


def test_repairs_lists_the_catalogue():
    lines = straightwire("repairs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(CATALOGUE)


def test_repairs_tells_all_about_one():
    told = straightwire("repairs", "repeated-role").stdout
    assert told.startswith("repeated-role\n\nRemove `delta.role` after")
    assert "LocalAI#340" in told
    assert "default:  on" in told


def test_a_misspelt_repair_has_a_hint():
    ran = straightwire("repairs", "repeated-rol")
    assert ran.returncode == 2
    assert "Did you mean repeated-role?" in ran.stderr


def test_a_repair_like_no_other_has_another_hint():
    ran = straightwire("repairs", "zzz")
    assert ran.returncode == 2
    assert "`straightwire repairs` lists them." in ran.stderr


def test_repairs_writes_the_documents():
    assert straightwire("repairs", "--markdown").stdout == (ROOT / "docs/repairs.md").read_text("utf-8")
    assert straightwire("repairs", "--table").stdout in (ROOT / "README.md").read_text("utf-8")


def test_demo_shows_both_sides_and_names_the_repairs():
    ran = straightwire("demo", COLUMNS="120")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[1].startswith("event: data  ")
    assert '│ data: {"id":"chatcmpl-' in lines[1]
    right = "".join(line.partition("│ ")[2] for line in lines)
    assert right.count('"role":"assistant"') == 1
    assert right.count("[DONE]") == 1
    assert re.search(r"4 x event-line +Drop `event:` lines", ran.stdout)
    assert "\x1b" not in ran.stdout, "colour where there is no terminal"


def test_config_check_tells_every_mistake_with_its_place(tmp_path):
    file = tmp_path / "straightwire.yaml"
    file.write_text("upstreams:\n  local:\n    ulr: http://127.0.0.1:8080\nrepairs: {repeated-rol: false}\n")
    ran = straightwire("config", "check", str(file))
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert f"{file}:3: upstreams.local.ulr: " in ran.stderr
    assert f"{file}:4: repairs.repeated-rol: " in ran.stderr
    assert "did you mean repeated-role" in ran.stderr.replace("`", "").replace("'", "")
    assert "Traceback" not in ran.stderr


def test_config_check_tells_of_certificates_that_are_none(tmp_path):
    file = tmp_path / "straightwire.yaml"
    file.write_text(
        "upstreams: {local: {url: https://127.0.0.1:9, tls: {ca: straightwire.yaml}}}\n"
        "listen: {tls: {certificate: straightwire.yaml}}\n"
    )
    ran = straightwire("config", "check", str(file))
    assert ran.returncode == 2
    assert ran.stdout == ""
    listen, upstream = ran.stderr.splitlines()
    assert listen.startswith(f"{file}: listen.tls: {file} and itself are no certificate with its key")
    assert ".c:" not in listen, "a line of OpenSSL's source"
    assert upstream == f"{file}: upstreams.local.tls.ca: {file} holds no PEM certificates"


def test_config_check_tells_of_packages_that_are_not_there(tmp_path):
    file = tmp_path / "straightwire.yaml"
    file.write_text("upstreams: {local: {url: http://127.0.0.1:9}}\ntracing: true\n")
    (tmp_path / "opentelemetry.py").write_text("")  # a module in the place of the package
    ran = straightwire("config", "check", str(file), PYTHONPATH=str(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"{file}: tracing: needs packages that are not installed; ")
    assert len(ran.stderr.splitlines()) == 1


def test_config_check_of_the_example():
    ran = straightwire("config", "check", "config.example.yaml")
    assert (ran.returncode, ran.stdout) == (0, "config.example.yaml: correct. Upstreams: local.\n")


def test_config_schema_is_a_json_schema():
    assert json.loads(straightwire("config", "schema").stdout)["type"] == "object"


def test_serve_without_anything_to_serve_is_wrong_usage():
    ran = straightwire("serve")
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "Traceback" not in ran.stderr


def test_repairs_without_which_no_stream_is_written_cannot_be_switched_off(tmp_path):
    file = tmp_path / "straightwire.yaml"
    file.write_text(
        "upstreams: {local: {url: http://127.0.0.1:9, repairs: {comment: false}}}\n"
        "repairs: {event-line: false,\n  empty-data: true}\nport: 1\n"
    )
    ran = straightwire("config", "check", str(file))
    assert ran.returncode == 2
    said = "cannot be switched off; without it no stream is written"
    assert ran.stderr.splitlines() == [
        f"{file}:1: upstreams.local.repairs.comment: {said}",
        f"{file}:2: repairs.event-line: {said}",
        f"{file}:4: port: unknown key (did you mean listen.port or admin.port?)",
    ]


def test_serve_with_a_file_that_is_not_there_is_wrong_usage():
    ran = straightwire("serve", "--config", "nowhere.yaml")
    assert ran.returncode == 2
    assert ran.stderr.startswith("nowhere.yaml")
    assert len(ran.stderr.splitlines()) == 1


def test_whether_a_file_can_be_read_shows_when_it_is_read(monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root would be allowed all
    file = str(ROOT / "config.example.yaml")
    cli.straightwire.main(["config", "check", file], standalone_mode=False)
    assert capsys.readouterr().out.startswith(f"{file}: correct.")


def test_name_that_no_address_has_is_one_line():
    ran = straightwire("serve", "--upstream", "http://127.0.0.1:9", "--listen", "nowhere.invalid:1")
    assert ran.returncode == 1
    assert re.fullmatch(r"straightwire: cannot listen on nowhere\.invalid:1: [A-Z][^\[\n]+\n", ran.stderr)


def test_health_without_a_proxy_fails_with_one_line():
    ran = straightwire("health", STRAIGHTWIRE_UPSTREAM="http://127.0.0.1:9", STRAIGHTWIRE_ADMIN__PORT="1")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.endswith(" http://127.0.0.1:1/readyz: Connection refused\n")


def test_health_of_something_else_fails_with_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

        def greet():
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"220 mail\r\n")
                peer.recv(1024)

        with ThreadPoolExecutor() as threads:
            greeting = threads.submit(greet)
            ran = straightwire("health", STRAIGHTWIRE_ADMIN__PORT=port)
            greeting.result(PATIENCE)
    assert ran.returncode == 1
    assert ran.stderr.endswith(f" http://127.0.0.1:{port}/readyz: what is there speaks no HTTP\n")
    assert len(ran.stderr.splitlines()) == 1


def test_health_needs_no_upstream_where_serve_had_it_on_its_command_line():
    ran = straightwire("health", STRAIGHTWIRE_ADMIN__PORT="1")
    assert ran.returncode == 1
    assert "http://127.0.0.1:1/readyz" in ran.stderr


def test_demo_runs_localai_alone():
    command = [*COMMAND, "demo", "--localai", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        url = re.search(r"http://\S+", process.stdout.readline())[0]
        assert process.stdout.readline().endswith(f" straightwire serve --upstream {url}\n")
        with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:
            connection.request("GET", "/v1/models")
            assert json.load(connection.getresponse())["data"][0]["id"] == "ggml-gpt4all-j"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_demo_tells_in_one_line_that_localais_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = straightwire("demo", "--localai", "--listen", place)
    assert ran.returncode == 1
    assert ran.stderr == f"straightwire: cannot listen on {place}: Address already in use\n"


def test_demo_refuses_a_place_that_is_none():
    ran = straightwire("demo", "--localai", "--listen", "somewhere")
    assert ran.returncode == 2
    assert ran.stderr.startswith("--listen: ")
    assert len(ran.stderr.splitlines()) == 1


@pytest.fixture
def served():
    """`straightwire demo --serve` on a free port: the process, and its URL."""
    process = subprocess.Popen(
        [*COMMAND, "demo", "--serve", "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = ""
        while "Ctrl-C" not in told:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            told += line
        yield process, re.search(r"curl -N (http://127\.0\.0\.1:\d+)/v1/chat/completions", told)[1]
    finally:
        process.kill()
        process.communicate()


def test_demo_serves_until_it_is_told_to_stop(served):
    process, url = served
    body = {"model": "ggml-gpt4all-j", "stream": True, "messages": [{"role": "user", "content": "Hi there"}]}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"}
        )
        stream = connection.getresponse().read()
    assert stream.startswith(b'data: {"id":"chatcmpl-')
    assert stream.endswith(b"data: [DONE]\n\n")
    process.send_signal(signal.SIGHUP)
    while " reloaded" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_what_is_no_http_is_one_line_of_the_log(served):
    process, url = served
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)) as connection:
        connection.putrequest("GET", "/")
        connection.putheader("Content-Length", "secret")
        connection.endheaders()
        assert connection.getresponse().status == 400
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE)
    (line,) = [line for line in told.splitlines() if " request " in line]
    assert "status=400 outcome=refused" in line
    assert len(told.splitlines()) == 3
    assert "secret" not in told


def test_a_port_in_use_is_one_line(served):
    _, url = served
    ran = straightwire(
        "serve",
        "--upstream",
        "http://127.0.0.1:9",
        "--listen",
        url.removeprefix("http://"),
        STRAIGHTWIRE_ADMIN="null",
    )
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "Traceback" not in ran.stderr
    assert url.removeprefix("http://") in ran.stderr
