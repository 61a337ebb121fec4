"""Viewer that plays clips in a browser.

`clips` lists the clips; `drawn_body` and `scene` compute each frame with MuJoCo alone; `playback` is the clock;
`muscle_picking` finds the muscle under a click and `curves` draws plots; `scene_view` sends the 3D scene, `panel` holds
the controls and `server` runs everything. Only the last three import viser; `guard` restricts access to the server and
`text` escapes text from files. mjviser does not fit: it shows a running simulation, draws every piece of a muscle as a
cylinder with its own transform, and has neither clips nor landmark targets.
"""
