"""TLS to servers of ours that have certificates of a CA of their own, or of one that the system knows."""

import ssl

from livecomments_schemas.errors import StartRefused


def client_context(
    setting: str, ca_file: str, *, check_hostname: bool = True, certificate: str = "", key: str = ""
) -> ssl.SSLContext:
    """Make the context with which a client checks a server's certificate, and shows its own if it has one.

    Args:
        setting: the one that names `ca_file`, for its problems; those of the others begin alike.
        ca_file: PEM; empty: the system's.
        check_hostname: whether the server's certificate must name the address that was called.
        certificate: file with the client's (PEM), and what leads to its CA; empty: it has none.
        key: file with the certificate's key (PEM, not encrypted); empty: it is in the same file.

    Raises:
        StartRefused: a file cannot be read, or does not hold what it must, or the key is another certificate's.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise StartRefused(f"{setting}={ca_file!r} holds no certificates that can be read: {error}.") from error
    context.check_hostname = check_hostname
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            named = f"{setting.removesuffix('_CA')}_CERTIFICATE={certificate!r}"
            raise StartRefused(f"{named} and its key cannot be used: {error}.") from error
    return context


def _no_password() -> str:
    """Refuse an encrypted key; without this OpenSSL would ask on the terminal, and wait."""
    raise ValueError("the key is encrypted")
