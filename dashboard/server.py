"""What ``emotrace dashboard`` serves: Streamlit's pages behind the gate, and what does not go through their connection:
the login, recordings and uploads.
"""

from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

from dashboard.web import login, recording_routes, upload_routes
from dashboard.web.gate import Gate

_ROUTES = (*login.ROUTES, *recording_routes.ROUTES, *upload_routes.ROUTES)
# Streamlit finds it by this line.
app = App(Path(__file__).parent / "app.py", routes=_ROUTES, middleware=[Middleware(Gate)])
