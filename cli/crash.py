"""What happens to an error that nobody foresaw: its traceback goes to a file, and the user is told which."""

import platform
import tempfile
import traceback

from contracts.settings import hide_credentials


def write_crash_report(error: BaseException) -> str:
    """Write the traceback to a private file and return a sentence that names it."""
    text = hide_credentials("".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="emotrace-crash-", suffix=".txt", delete=False) as file:
            file.write(f"Python {platform.python_version()}, {platform.platform()}\n{text}")
        where = f"Details are in {file.name}; please report them."
    except OSError:
        where = "No report could be written; is the disk full?"
    return f"unexpected {type(error).__name__}: {hide_credentials(str(error))}. This is a defect in emotrace. {where}"
