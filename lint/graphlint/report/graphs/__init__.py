"""Pictures of graphs: what is on them, where it stands, and how it is drawn. Pure: no files, no output.

>>> picture = drawing.neighbourhood(view, site, hops=1)
>>> text = svg.render_svg(picture)
"""
