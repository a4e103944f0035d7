import json
import subprocess
import sys

import pytest

from tests.cli.conftest import Cli
from tests.live.gateway import ROOT, Gateway
from tests.scripted import Reply, ScriptedProvider


def test_any_method_may_be_called(cli: Cli) -> None:
    """What it answers is printed as JSON."""
    result = cli("gateway", "call", "agents.list")
    assert (result.exit_code, json.loads(result.stdout)["defaultId"]) == (0, "main")


def test_parameters_are_an_object(cli: Cli) -> None:
    """On the command line, or from standard input."""
    params = '{"sessionKey": "called", "message": "a note"}'
    assert json.loads(cli("gateway", "call", "chat.inject", "--params", params).stdout)["ok"]
    assert json.loads(cli("gateway", "call", "chat.inject", "--params", "-", said=params).stdout)["messageSeq"] == 2


@pytest.mark.parametrize("given", ["{", "[]", "word"])
def test_wrong_parameters_are_not_sent(cli: Cli, given: str) -> None:
    """Exit code 2."""
    result = cli("gateway", "call", "health", "--params", given)
    assert (result.exit_code, "--params" in result.stderr) == (2, True)


def test_an_error_is_one_line(cli: Cli) -> None:
    """Exit code 2 for what the gateway doesn't take, 1 for what failed."""
    result = cli("gateway", "call", "nope")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "Error: unknown method: nope\n")
    result = cli("gateway", "call", "chat.history", "--params", '{"sessionKey": "x", "sessionId": "y"}')
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_the_final_answer_may_be_waited_for(cli: Cli, provider: ScriptedProvider) -> None:
    """agent answers twice: accepted, and how it ended."""
    provider.enqueue(Reply("the answer"))
    params = json.dumps({"message": "hi", "sessionKey": "called-agent", "idempotencyKey": "called-agent"})
    final = json.loads(cli("gateway", "call", "agent", "--params", params, "--expect-final").stdout)
    assert final["result"]["payloads"] == [{"text": "the answer"}]
    other = params.replace("called-agent", "called-agent-2")
    assert json.loads(cli("gateway", "call", "agent", "--params", other).stdout)["status"] == "accepted"


def test_other_arguments_are_gunicorns(gateway: Gateway) -> None:
    """Without a command it serves, and hands its options on."""
    printed = subprocess.run(
        [sys.executable, "-m", "app", "gateway", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.startswith("gunicorn (version ")
