"""Write result files so that half a file never looks whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contracts.errors import OutputError


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well, the file there takes the place of ``path``.

    When the block raises, the temporary file is removed and whatever was at ``path`` before stays.

    Raises:
        OutputError: an OSError inside the block or in the renaming (a full disk, a missing permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(explain_write_error(str(path), error)) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def explain_write_error(target: str, error: OSError) -> str:
    """Return the message for a failed write to ``target``: what was found and what to do."""
    reason = error.strerror or str(error)
    return f"{target} cannot be written: {reason}. Check the folder's free space and permissions, then export it again."
