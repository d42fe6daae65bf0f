"""Running stacks from services: the only importer of the Automation API."""
