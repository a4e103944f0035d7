"""What a configuration hides from operators, over the wire: in the file, in the log, on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.conftest import StartGateway
from tests.gateway_ws.client import connected
from tests.live.gateway import ROOT, wait_until

ISSUED = "sk-proj-0a1B2c3D4e5F6g7H"
IN_PATH = "OGQ4NmUyZTYtM2I1Zi00"
SECRETS = ["of-the-option", "of-the-variable", "of-the-header", "of-the-equation", ISSUED, IN_PATH, "of-the-comment"]
ARGUMENTS = [
    "--api-key", "of-the-option", "-e", "PIN=of-the-variable", "--header", "X-Any: of-the-header",
    "--secret=of-the-equation", ISSUED, f"https://mcp.example/s/{IN_PATH}/sse",
]  # fmt: skip
# A server that says all that it knows, and fails.
SHOUTS = [sys.executable, "-c", "import sys; sys.exit(' '.join(sys.argv))", *ARGUMENTS]


def test_secrets_of_arguments_are_shown_nowhere(start_gateway: StartGateway) -> None:
    """Not to operator.read by config.get or logs.tail, not in the log itself, not by validate, doctor or a fault."""
    server = {"command": SHOUTS[0], "args": SHOUTS[1:]}
    gateway = start_gateway(mcp={"servers": {"shouts": server}}, tools={"profile": "full"}, logging={"level": "debug"})
    gateway.chat("hi")
    wait_until(lambda: "MCP server shouts failed" in gateway.log, "the server failed")
    text = gateway.config_path.read_text()
    gateway.config_path.write_text(f"// api key: of-the-comment, or {ISSUED}\n{text}")
    with connected(gateway, scopes=("operator.read",)) as client:
        read = client.call("config.get")
        assert read["valid"]
        told = {"config.get": json.dumps(read), "logs.tail": json.dumps(client.call("logs.tail"))}
    assert "MCP server shouts failed" in told["logs.tail"]
    told["log"] = gateway.log
    for command in (["config", "validate", "--explain"], ["config", "get"], ["doctor"]):
        told[" ".join(command)] = run(gateway.state_dir, *command)
    faulty = json.loads(text)
    faulty["mcp"]["servers"]["shouts"]["url"] = 7
    for number, argument in enumerate(ARGUMENTS[-3:]):
        faulty["mcp"]["servers"][f"odd{number}"] = {"command": "x", "timeout": argument, "transport": argument}
    gateway.config_path.write_text(json.dumps(faulty))
    told["a fault"] = run(gateway.state_dir, "config", "validate")
    assert "odd2" in told["a fault"]
    assert [(where, secret) for where, text in told.items() for secret in SECRETS if secret in text] == []


def run(state_dir: object, *command: str) -> str:
    environment = {**os.environ, "OPENCLAW_STATE_DIR": str(state_dir)}
    done = subprocess.run(
        [sys.executable, "-m", "app", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
