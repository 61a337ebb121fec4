"""Pictures and films of motions, drawn with OpenGL if available (`gl`) and with matplotlib otherwise (`plot`).

`drawing` prepares a body for drawing, and `camera` follows it. `muscles`, `colour_map` and `loads` say how muscles and
ground forces look. Both renderers take the same arguments and yield arrays of the same shape. `motion_film` draws one
motion or two side by side with `captions`, for all commands; `film` selects frames and writes files.
"""
