"""The `docker` plugin: containers, networks, volumes and images on a real daemon."""
