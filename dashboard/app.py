"""The dashboard's pages and their order. Run it with: emotrace dashboard"""

from pathlib import Path
from typing import Literal

import streamlit as st

from dashboard.charts.theme import make_style
from dashboard.identity import ADMIN, OPERATOR
from dashboard.widgets.entrance import admit, show_menu

# An icon of our own: Streamlit's would be fetched from the internet.
st.set_page_config(page_title="emotrace", page_icon=str(Path(__file__).parent / "icon.png"), layout="wide")
st.html(f"<style>{make_style()}</style>")
visitor = admit()
if visitor is None:
    st.stop()
# A page that the visitor may not use is not listed; a link to it says what it needs.
for_operators: Literal["visible", "hidden"] = "visible" if visitor.may(OPERATOR) else "hidden"
for_admins: Literal["visible", "hidden"] = "visible" if visitor.may(ADMIN) else "hidden"
page = st.navigation(
    {
        "Analysts": [
            st.Page("views/timeline.py", title="Timeline", icon=":material/timeline:", default=True),
            st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
            st.Page("views/summary.py", title="Summary", icon=":material/donut_small:"),
            st.Page("views/batch.py", title="Batch", icon=":material/video_library:"),
        ],
        "Operators": [
            st.Page("views/wall.py", title="Wall", icon=":material/grid_view:"),
            st.Page("views/live.py", title="Live view", icon=":material/visibility:", visibility=for_operators),
            st.Page("views/cameras.py", title="Cameras", icon=":material/videocam:", visibility=for_operators),
            st.Page("views/health.py", title="Health", icon=":material/monitor_heart:"),
            st.Page("views/model_cards.py", title="Models", url_path="models", icon=":material/neurology:"),
        ],
        "Admins": [
            st.Page("views/users.py", title="Users", icon=":material/group:", visibility=for_admins),
            st.Page("views/audit.py", title="Audit", icon=":material/history:", visibility=for_admins),
        ],
    }
)
show_menu(visitor)
page.run()
