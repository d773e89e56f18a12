"""The programs that watch: where they are, how they are started, and how they end."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

JS: Final = Path(__file__).with_name("js")
READERS: Final = Path(__file__).with_name("readers")
_MINI_BROWSER: Final = Path("/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser")
_BUILD_TIMEOUT_S: Final = 400
"""Go compiles its own library first, once a machine."""
_CHROMIUM_FLAGS: Final = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-breakpad", "--no-first-run"),
)
_FIREFOX_PREFERENCES: Final = {
    "app.update.enabled": "false",
    "browser.aboutwelcome.enabled": "false",
    "browser.shell.checkDefaultBrowser": "false",
    "datareporting.policy.dataSubmissionEnabled": "false",
    "network.captive-portal-service.enabled": "false",
    "network.connectivity-service.enabled": "false",
}


def why_missing(program: str) -> str | None:
    """What to install so that `program` can watch; None if it can."""
    needed: dict[str, list[tuple[str | Path, str]]] = {
        "chromium": [("chromium", "chromium")],
        "firefox": [("firefox-esr", "firefox-esr")],
        "webkit": [(_MINI_BROWSER, "libwebkit2gtk-4.1-0"), ("Xvfb", "xvfb")],
        "curl": [("curl", "curl"), ("node", "nodejs")],
        "eventsource": [("node", "nodejs")],
        "httpx-sse": [],
        "node": [("node", "nodejs")],
        "go": [("go", "golang-go")],
        "jdk": [("javac", "openjdk-17-jdk-headless")],
        "rust": [("cargo", "cargo")],
        "okhttp": [("javac", "openjdk-17-jdk-headless"), ("mvn", "maven")],
    }
    missing = [package for found, package in needed[program] if not shutil.which(found)]
    return f"No {program} here: apt-get install {' '.join(missing)}" if missing else None


def build(program: str, folder: Path) -> tuple[str, ...]:
    """Make a program of `readers/` in a folder; returns the command that runs it. Raises CalledProcessError."""

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, timeout=_BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL)

    if program == "go":
        run("go", "build", "-o", str(folder / "read"), str(READERS / "read.go"))
        return (str(folder / "read"),)
    if program == "jdk":
        run("javac", "-d", str(folder), str(READERS / "JdkReader.java"))
        return ("java", "-cp", str(folder), "JdkReader")
    if program == "rust":
        sources = ("--manifest-path", str(READERS / "rust" / "Cargo.toml"))
        run("cargo", "build", "--quiet", "--locked", *sources, "--target-dir", str(folder))
        return (str(folder / "debug" / "read"),)
    copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'jars'}")
    run("mvn", "-q", "-B", "-f", str(READERS / "pom.xml"), *copy)
    run("javac", "-cp", f"{folder / 'jars'}/*", "-d", str(folder), str(READERS / "OkHttpReader.java"))
    return ("java", "-cp", f"{folder}:{folder / 'jars'}/*", "OkHttpReader")


@asynccontextmanager
async def running(
    output: Path,
    *command: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, killed with all it has started when this is left. What it complains of goes into a file."""
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=file if stdout is None else stdout,
            stderr=file,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            start_new_session=True,
            limit=2**20,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def open_page(program: str, directory: Path, url: str, until: AsyncExitStack) -> None:
    """Open a page in a new browser, with a profile of its own, until the stack is left."""
    await asyncio.to_thread(directory.mkdir)
    log = directory.with_suffix(".log")
    if program == "chromium":
        await until.enter_async_context(running(log, "chromium", *_CHROMIUM_FLAGS, f"--user-data-dir={directory}", url))
    elif program == "firefox":
        preferences = [f'user_pref("{name}", {value});' for name, value in _FIREFOX_PREFERENCES.items()]
        (directory / "user.js").write_text("\n".join(preferences))
        command = ("firefox-esr", "--headless", "--no-remote", "--profile", str(directory), url)
        await until.enter_async_context(running(log, *command, environment={"HOME": str(directory)}))
    else:
        screen = ("Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "800x600x24")
        shown = await until.enter_async_context(running(log, *screen, stdout=subprocess.PIPE))
        assert shown.stdout is not None
        environment = {
            "DISPLAY": f":{(await shown.stdout.readline()).decode().strip()}",
            "HOME": str(directory),
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # tests run as root in containers
        }
        await until.enter_async_context(running(log, str(_MINI_BROWSER), url, environment=environment))
