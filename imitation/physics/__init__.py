"""Bodies simulated in MuJoCo C and MuJoCo Warp behind one interface. Must not depend on tasks or networks."""
