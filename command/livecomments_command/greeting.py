"""The greeting of a service started by hand: its address, and commands to write and follow a comment."""

from typing import Final

from rich.console import Console

_JSON: Final = "-H 'Content-Type: application/json'"


def greet(
    console: Console, url: str, *, streams_url: str | None = None, note: str = "", moderated_at: str = ""
) -> None:
    """Print the service's address, and how to write and follow a comment.

    Args:
        console: where it is printed.
        url: of the service, without a slash at its end.
        streams_url: where streams are, if elsewhere.
        note: goes on behind the address, or below it.
        moderated_at: where the demo is moderated, with a token for whoever has this terminal; it is in no log.
    """
    console.print("livecomments", style="bold green", end=" is running: ")
    console.print(f"{url}/", style="bold", end=f"{note}\n\n")
    console.print("Write a comment:", style="dim")
    console.print(
        f'  TOKEN=$(curl -s {url}/sessions {_JSON} -d \'{{"displayName":"Ana"}}\' | grep -o \'lcs_[^"]*\')\n'
        f'  curl {url}/comments/demo -H "Authorization: Bearer $TOKEN" {_JSON} -d \'{{"message":"Hello"}}\'',
    )
    console.print("Follow a video:", style="dim")
    console.print(f"  curl -N '{streams_url or url}/comments/demo/stream?history=10'\n")
    if moderated_at:
        console.print("Moderate the demo:", style="dim")
        console.print(f"  {moderated_at}\n", soft_wrap=True)
