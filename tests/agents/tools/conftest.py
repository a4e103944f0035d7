"""A workspace, and a way to call its tools as an agent does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.agents.tools.files import file_tools
from app.agents.tools.search import search_tools
from app.agents.tools.tool import ToolFailed
from app.agents.tools.workspace import Workspace


class Files:
    """The file and search tools of the workspace at ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(root)
        self.tools = {tool.name: tool for tool in [*file_tools(self.workspace), *search_tools(self.workspace)]}

    def call(self, name: str, **arguments: Any) -> str:
        """The tool's result; what it refuses is raised."""
        tool = self.tools[name]
        assert tool.fault_of(arguments) == ""
        return tool.work(None, arguments)  # type: ignore[arg-type]

    def refusal(self, name: str, **arguments: Any) -> str:
        """What the tool says when it refuses."""
        with pytest.raises(ToolFailed) as failure:
            self.call(name, **arguments)
        return str(failure.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = tmp_path / "workspace"
    root.mkdir()
    return Files(root)
