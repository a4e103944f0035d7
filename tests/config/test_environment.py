from pathlib import Path

from app.config import read_environment
from app.config.environment import supplemented


def test_state_dir_defaults_to_the_home_folder() -> None:
    """Without variables the state lives in ~/.openclaw."""
    environment = read_environment({})
    assert environment.state_dir == Path("~/.openclaw").expanduser()
    assert environment.config_path == environment.state_dir / "openclaw.json"


def test_config_path_may_stand_elsewhere() -> None:
    """OPENCLAW_CONFIG_PATH moves the file and nothing else."""
    environment = read_environment({"OPENCLAW_STATE_DIR": "/state", "OPENCLAW_CONFIG_PATH": "/etc/gateway.json"})
    assert (environment.state_dir, environment.config_path) == (Path("/state"), Path("/etc/gateway.json"))


def test_empty_is_unset() -> None:
    """An empty variable is the same as none."""
    environment = read_environment({"OPENCLAW_GATEWAY_TOKEN": "", "OPENCLAW_GATEWAY_PORT": " "})
    assert (environment.token, environment.port, environment.faults) == (None, None, ())


def test_bad_numbers_name_their_variable() -> None:
    """A bad port is a fault that names the variable."""
    environment = read_environment({"OPENCLAW_GATEWAY_PORT": "0", "WEB_CONCURRENCY": "many"})
    assert [str(fault) for fault in environment.faults] == [
        'OPENCLAW_GATEWAY_PORT: found "0"; allowed: an integer from 1 to 65535',
        'WEB_CONCURRENCY: found "many"; allowed: an integer from 1 to 10000',
    ]


def test_repr_hides_secrets() -> None:
    """An environment in a log shows no secret."""
    assert "hush" not in repr(read_environment({"OPENCLAW_GATEWAY_TOKEN": "hush", "OTHER": "hush"}))


def test_what_is_lacking_may_come_from_elsewhere() -> None:
    """Token and port are those of the merged variables; where state and file are, and the workers, stay."""
    environment = read_environment({"OPENCLAW_STATE_DIR": "/state", "OPENCLAW_GATEWAY_PASSWORD": "own", "EMPTY": " "})
    merged = supplemented(
        environment,
        {
            "OPENCLAW_GATEWAY_TOKEN": "t",
            "OPENCLAW_GATEWAY_PASSWORD": "other",
            "OPENCLAW_GATEWAY_PORT": "4001",
            "OPENCLAW_STATE_DIR": "/other",
            "WEB_CONCURRENCY": "3",
            "EMPTY": "x",
        },
    )
    assert (merged.token, merged.password, merged.port) == ("t", "own", 4001)
    assert (merged.state_dir, merged.config_path, merged.web_concurrency) == (
        Path("/state"),
        environment.config_path,
        None,
    )
    assert (merged.get("EMPTY"), environment.get("EMPTY"), environment.token) == ("x", " ", None)


def test_a_wrong_port_is_told_once() -> None:
    """However often the environment is supplemented."""
    environment = read_environment({"OPENCLAW_GATEWAY_PORT": "x"})
    assert supplemented(supplemented(environment, {}), {"OPENCLAW_GATEWAY_PORT": "1"}).faults == environment.faults
