"""The page frame: title, navigation, and the page that was asked for."""

from __future__ import annotations

import streamlit as st

from samplemind_core.server import STATIC
from samplemind_core.ui.places import navigation

# A file of ours: for a Material icon here the browser would ask another host, at every viewer's first visit.
st.set_page_config(page_title="SampleMind", page_icon=str(STATIC / "icon.svg"), layout="wide")
st.logo(str(STATIC / "wordmark.svg"), icon_image=str(STATIC / "icon.svg"), size="large")
page = st.navigation(navigation())
if page.url_path:
    # Tabs and the browser's history are told apart by it.
    st.set_page_config(page_title=f"{page.title} · SampleMind")
page.run()
