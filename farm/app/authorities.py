"""A file of certificate authorities that the user names."""

import ssl
from pathlib import Path

from farm.browser import trust
from farm.model.errors import UsageError


def check_authorities(option: str, path: Path) -> None:
    """Raise UsageError where the file that an option names holds no certificate, or a malformed one."""
    try:
        text = path.read_text(encoding="ascii")
        found = trust.certificates(text)
        ssl.create_default_context(cadata=text)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be read ({error.strerror}); give a PEM file.") from None
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"{option} {path} holds no certificate; give a file in PEM format.")
