"""TLS to servers of ours that have certificates of a CA of their own, or of one that the system knows."""

import ssl

from livecomments_schemas.errors import StartRefused


def client_context(setting: str, ca_file: str, *, check_hostname: bool = True) -> ssl.SSLContext:
    """Make the context with which a client checks a server's certificate.

    Args:
        setting: the one that names `ca_file`, for its problems.
        ca_file: PEM; empty: the system's.
        check_hostname: whether the certificate must name the address that was called.

    Raises:
        StartRefused: the file cannot be read, or holds no certificates.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise StartRefused(f"{setting}={ca_file!r} holds no certificates that can be read: {error}.") from error
    context.check_hostname = check_hostname
    return context
