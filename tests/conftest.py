"""For all tests: a law holds however long a loaded machine takes over an example."""

from hypothesis import settings

settings.register_profile("project", deadline=None)
settings.load_profile("project")
