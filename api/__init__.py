"""The Python interface: what `import musclemap as mm` offers. May import every other folder; none imports this one."""
