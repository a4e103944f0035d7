"""Writes the first configuration."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from pathlib import Path

from app.config.environment import Environment
from app.config.faults import ConfigError
from app.config.settings import LOCAL_MODEL, MAIN_AGENT

_FIRST_CONFIG = """\
// The gateway's configuration, in JSON5: comments and trailing commas are welcome.
// A running gateway applies changes of this file by itself;
// `.venv/bin/python -m app config validate` checks them first.
{{
  gateway: {{
    port: 18789,
    bind: "loopback", // "lan" serves every interface of this machine
    auth: {{
      mode: "token",
      token: "{token}", // whoever has it is a full operator; OPENCLAW_GATEWAY_TOKEN wins over it
    }},
    http: {{
      endpoints: {{
        chatCompletions: {{ enabled: true }}, // POST /v1/chat/completions, GET /v1/models
      }},
    }},
  }},
  agents: {{
    defaults: {{ model: "{model}" }}, // built in, runs on this machine
    list: [{{ id: "{agent}", default: true }}],
  }},
  // Other models, for example of OpenAI:
  // models: {{
  //   providers: {{
  //     openai: {{ baseUrl: "https://api.openai.com/v1", apiKey: "${{OPENAI_API_KEY}}" }},
  //   }},
  // }},
}}
"""


def onboard(environment: Environment) -> Path:
    """Write a first configuration with a new token; its path. The file is 0600 and appears whole or not at all.

    Raises FileExistsError when there is one already, OSError when it can't be written, ConfigError when the
    environment itself is at fault.
    """
    if environment.faults:
        raise ConfigError(*environment.faults)
    path = environment.config_path
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists")
    make_state_dir(environment.state_dir)
    make_state_dir(path.parent)
    text = _FIRST_CONFIG.format(token=secrets.token_hex(24), model=LOCAL_MODEL, agent=MAIN_AGENT)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from the start
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)  # unlike a rename it fails when another onboarding was faster
    finally:
        os.unlink(draft)
    return path


def make_state_dir(path: Path) -> None:
    """Create the state dir, 0700, with the folders above it. One that exists is left as it is. Raises OSError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
