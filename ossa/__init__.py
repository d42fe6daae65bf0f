"""OSSA manifests: reading, checking, and the one shape that the deployment takes them in."""
