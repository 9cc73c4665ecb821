"""Work on derived stores through their contracts."""
