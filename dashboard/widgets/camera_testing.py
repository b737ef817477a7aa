"""What a test of a camera found, with a picture that is shown once: with the page's next run it is gone."""

import streamlit as st

from contracts.camera_tests import Findings
from contracts.settings import hide_credentials
from dashboard.actions.camera_test_actions import try_camera
from dashboard.texts import show_errors, to_line, to_markdown


def show_test(stream_id: str | None, url: str, transport: str | None) -> None:
    """Test a camera while the visitor waits, and show what came; arguments as ``try_camera`` has them."""
    with show_errors():
        with st.spinner("An ingest worker connects to the camera …"):
            result = try_camera(stream_id, url, transport)
        if result.findings is None:
            st.error(to_markdown(hide_credentials(result.error), 1000), icon=":material/videocam_off:")
            return
        st.success("The camera gives pictures.", icon=":material/videocam:")
        shown, told = st.columns(2)
        with shown:
            alt = f"The first picture of {to_line(result.findings.source)}"
            st.image(result.jpeg, caption="The first picture: shown once, and stored nowhere.", alt=alt)
        with told:
            for fact in _tell(result.findings):
                st.markdown(f"- {to_markdown(fact, 300)}")


def _tell(found: Findings) -> list[str]:
    stated = f" (the camera says {found.stated_fps:g})" if found.stated_fps else ""
    faces = f"{found.most_faces} face" if found.most_faces == 1 else f"{found.most_faces} faces"
    facts = [
        f"{found.codec}, {found.width}×{found.height} pixels",
        f"{found.measured_fps:g} frames per second{stated}",
        f"first frame after {found.first_frame_s:.1f} s",
        f"at most {faces} at once, in {found.pictures_with_faces} of {found.pictures_searched} pictures searched "
        f"({found.detector})",
    ]
    if found.undecodable:
        facts.append(f"{found.undecodable} frames could not be decoded")
    if found.ended:
        facts.append(f"ended early: {found.ended}")
    return facts
