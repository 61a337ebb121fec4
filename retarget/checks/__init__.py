"""What a finished clip is checked for: geometry, forces, muscles, verdict. Imports no solver."""
