"""Backups of stateful services: take, keep, restore, and prove that they can be restored."""
