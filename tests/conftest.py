"""What every tier shares."""

from hypothesis import settings

# Timings are never assertions: a loaded machine must not fail a property.
settings.register_profile("agent-docker", deadline=None)
settings.load_profile("agent-docker")
