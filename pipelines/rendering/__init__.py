"""Pictures of a motion: with OpenGL where there is one (`gl`), with matplotlib where there is none (`plot`).

`stage` dresses the body for drawing, `camera` follows it, `film` chooses frames and writes files. Both ways of drawing
take the same arguments and yield the same arrays.
"""
