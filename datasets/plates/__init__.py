"""Ground forces as force plates measured them."""
