"""Clips in the browser.

`clips` finds them; `body`, `muscles` and `scene` say what is where in a frame, with MuJoCo alone; `playback` keeps the
time; `stage` puts it on the page, `panel` holds the controls, `server` joins them and runs. Only the last three know
viser. mjviser was looked at and left: it shows a running simulation, draws every piece of a muscle as a cylinder with a
transform of its own, and has neither clips nor points asked for.
"""
