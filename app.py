"""Start with ``streamlit run app.py``: the pages behind ``samplemind_core/router.py`` and our own HTTP routes.

The launcher is no page. A script with a ``pages/`` folder beside it would have that folder served
directly, past the router; the router therefore lives inside the package.
"""

from __future__ import annotations

import streamlit as st

from samplemind_core.server import lifespan, routes

app = st.App("samplemind_core/router.py", routes=routes, lifespan=lifespan)
