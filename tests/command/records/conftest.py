"""An installation for the data commands."""

from pathlib import Path

import pytest

from livecomments_command.settings import ToolSettings
from tests.command.installation import installation, make_file


@pytest.fixture
async def settings(tmp_path: Path) -> ToolSettings:
    """One that has nothing in it."""
    made = installation(tmp_path / "data")
    await make_file(made)
    return made
