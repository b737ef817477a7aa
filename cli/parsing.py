"""The command line's own errors, without the credentials of URLs that stand in the wrong place."""

from typing import Any

from typer.core import TyperGroup


class QuietGroup(TyperGroup):
    """A group of commands whose parser shows no credentials: its messages repeat what was typed."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        try:
            return super().make_context(*args, **options)
        except Exception as error:
            _hide(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            _hide(error)
            raise


def _hide(error: Exception) -> None:
    # Of the parser's errors the message is an attribute, which is formatted later.
    if isinstance(message := getattr(error, "message", None), str):
        from contracts.settings import hide_credentials  # takes a moment to load, which --help need not wait for

        # A URL with a space in its password comes as several arguments, of which the later ones look like no URL.
        if "unexpected extra argument" in message:
            message = (
                "There are arguments too many, not shown here. Put a name with spaces, and a URL, in quotes; stream "
                "edit takes the URL after --url."
            )
        error.message = hide_credentials(message)  # type: ignore[attr-defined]
