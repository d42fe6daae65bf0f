"""Ends with a mistake of the user's."""

import pulumi

raise pulumi.RunError("settings are wrong\nhint: mend them")
