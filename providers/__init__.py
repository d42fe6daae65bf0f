"""GPU clouds and routers the program talks to; importing this package loads nothing."""
