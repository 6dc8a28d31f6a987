"""Pictures of graphs: what is on them, where it stands, and how it is drawn. Pure: no files, no output.

>>> picture = neighbourhood(view, site, hops=1)
>>> svg = render_svg(picture)
"""

from __future__ import annotations

from graphlint.pictures.drawing import Scene, around, neighbourhood, whole_program
from graphlint.pictures.picture import Box, Picture, Sheet, Wire
from graphlint.pictures.svg import render_svg

__all__ = ["Box", "Picture", "Scene", "Sheet", "Wire", "around", "neighbourhood", "render_svg", "whole_program"]
