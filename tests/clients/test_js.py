"""clients/js by its own tools: built, checked, tested, packed; and what the gateway serves of it is what it makes."""

import pytest

from tests.clients.npm import CLIENT, need_packages, npm

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    need_packages()


@pytest.mark.parametrize(
    "step",
    [("run", "build", "--", "--check"), ("run", "check"), ("test",), ("run", "packed")],
    ids=["what the gateway serves is what is built", "types", "tests", "package"],
)
def test_its_own_tools_are_content(step: tuple[str, ...]) -> None:
    done = npm(*step)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6_000:]


def test_no_download_address_is_recorded() -> None:
    assert '"resolved"' not in (CLIENT / "package-lock.json").read_text()
