"""The dashboard's pages run without a browser, on a database of the test's own."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

# A camera's password, and a name that some stranger gave.
SECRET = "s3cr3t-passw0rd"
HOSTILE = (
    "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\"> **bold** "
    "[link](javascript:0) :red[x] $x^2$ `code` 🎬 '; DROP TABLE sessions; -- " + "x" * 10_000
)
APP = Path(__file__).parent.parent / "dashboard" / "app.py"
# Pages are served to this machine alone, as `emotrace dashboard` does unless told otherwise.
config.set_option("server.address", "127.0.0.1")


def open_app(
    monkeypatch: pytest.MonkeyPatch, database_url: str, page: str | None = None, *, email: str = "", **parameters: str
) -> AppTest:
    """Run the app as a new visitor sees it, on ``page`` (a file of dashboard/views).

    With an ``email``, a provider of OpenID Connect vouches for the visitor.
    """
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", database_url)
    st.cache_data.clear()
    st.cache_resource.clear()
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in parameters.items():
        app.query_params[name] = value
    if email:
        app.user = {"is_logged_in": True, "email": email}
    app.run()
    if page is not None:
        app.switch_page(f"views/{page}.py").run()
    assert not app.exception, app.exception
    return app


def list_texts(app: AppTest) -> str:
    """Return everything that a page says outside of its widgets."""
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def press(app: AppTest, label: str) -> AppTest:
    """Press the button with a label, in a form or not."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception
    return app


def read_table(app: AppTest) -> pd.DataFrame:
    return app.dataframe[-1].value


def find_redis_url(arguments: dict[str, Any]) -> str:
    if "path" in arguments:
        return f"unix://{arguments['path']}"
    return f"redis://{arguments.get('host', 'localhost')}:{arguments.get('port', 6379)}"


def fill_in(app: AppTest, button: str, **values: str) -> AppTest:
    for label, value in values.items():
        next(one for one in reversed(app.text_input) if one.label == label.replace("_", " ")).set_value(value)
    return press(app, button)
