"""What ``emotrace dashboard`` serves: Streamlit's pages behind the gate, and the login beside them."""

from pathlib import Path

from starlette.middleware import Middleware
from streamlit.starlette import App

from dashboard.gate import Gate
from dashboard.login import ROUTES

# Streamlit finds it by this line.
app = App(Path(__file__).parent / "app.py", routes=ROUTES, middleware=[Middleware(Gate)])
