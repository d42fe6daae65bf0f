"""The local profile's Redis: a given one, an installed server of our own, or an embedded one."""
