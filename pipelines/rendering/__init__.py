"""Pictures and films of a motion, drawn with OpenGL if available (`gl`) and with matplotlib otherwise (`plot`).

`drawing` prepares a body for drawing, `camera` follows it, and `film` selects frames and writes files. Both renderers
take the same arguments and yield arrays of the same shape.
"""
