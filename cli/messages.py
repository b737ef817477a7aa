"""What the command says on standard error: each message one line, whatever names of files stand in it."""

import sys


def print_error(error: object) -> None:
    """Print an error's message."""
    print(f"emotrace: {to_line(str(error))}", file=sys.stderr)


def to_line(text: str) -> str:
    """Return ``text`` with line breaks and whatever else would act on a terminal spelled out, as in ``\\n``."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
