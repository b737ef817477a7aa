"""The dashboard's pages and their order. Run it with: emotrace dashboard"""

from pathlib import Path

import streamlit as st

from dashboard.theme import make_style

# An icon of our own: Streamlit's would be fetched from the internet.
st.set_page_config(page_title="emotrace", page_icon=str(Path(__file__).parent / "icon.png"), layout="wide")
st.html(f"<style>{make_style()}</style>")
page = st.navigation(
    {
        "Analysts": [
            st.Page("views/timeline.py", title="Timeline", icon=":material/timeline:", default=True),
            st.Page("views/summary.py", title="Summary", icon=":material/donut_small:"),
        ],
        "Operators": [
            st.Page("views/wall.py", title="Wall", icon=":material/grid_view:"),
            st.Page("views/cameras.py", title="Cameras", icon=":material/videocam:"),
            st.Page("views/health.py", title="Health", icon=":material/monitor_heart:"),
        ],
    }
)
page.run()
