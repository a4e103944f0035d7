import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Cli
from tests.conftest import StartGateway
from tests.live.gateway import PATIENCE, ROOT, TOKEN, Gateway


def follow(gateway: Gateway, *arguments: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "logs", "--follow", "--url", gateway.url, "--token", TOKEN, *arguments],
        cwd=ROOT,
        env={**clean, "OPENCLAW_STATE_DIR": str(gateway.state_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(process: subprocess.Popen[str], text: str) -> str:
    """The line with this text, which has to come."""
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it ended with {process.wait()}: {process.stderr.read()}")


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_the_latest_lines_are_printed(cli: Cli) -> None:
    """As many as asked for, the newest last; as JSON one object."""
    assert cli("agent", "--message", "hi", "--session-key", "logged").exit_code == 0
    assert any("session=agent:main:logged" in line for line in cli("logs").stdout.splitlines())
    assert len(cli("logs", "--limit", "2").stdout.splitlines()) == 2
    told = json.loads(cli("logs", "--limit", "2", "--json").stdout)
    assert (len(told["lines"]), told["cursor"] > 0) == (2, True)


def test_it_goes_on_over_a_restart(start_gateway: StartGateway) -> None:
    """--follow prints what comes, waits for a gateway that is away, and ends well with Ctrl-C."""
    first = start_gateway()
    process = follow(first)
    try:
        until(process, "Booting worker")
        assert first.call("/v1/nothing", method="GET").status == 404
        first.chat(headers={"x-openclaw-session-key": "before"})
        until(process, "session=agent:main:before")
        first.stop()
        second = start_gateway("--bind", f"127.0.0.1:{first.port}", state_dir=first.state_dir)
        second.chat(headers={"x-openclaw-session-key": "after"})
        until(process, "session=agent:main:after")
        code, err = end(process)
        assert (code, err) == (0, "the gateway is gone, waiting for it\n")
    finally:
        process.kill()
        process.wait()


def test_followed_as_json_each_line_is_an_object(start_gateway: StartGateway) -> None:
    """With the lines that came together."""
    process = follow(start_gateway(), "--json")
    try:
        told = json.loads(until(process, "Booting worker"))
        assert {"cursor", "lines"} <= told.keys()
        assert end(process)[0] == 0
    finally:
        process.kill()
        process.wait()


def test_no_gateway_at_all_is_not_waited_for(clean: None, tmp_path: Path) -> None:
    """Exit code 3 at once."""
    from click.testing import CliRunner

    from app.cli import main

    result = CliRunner().invoke(main, ["logs", "--follow", "--url", "ws://127.0.0.1:1", "--token", "x"])
    assert (result.exit_code, "no gateway at ws://127.0.0.1:1" in result.stderr) == (3, True)
