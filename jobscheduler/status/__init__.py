"""How everything stands, as values."""
