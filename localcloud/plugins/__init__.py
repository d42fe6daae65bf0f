"""Resource plugins for the offline engine: the official SDKs' wire, on real or emulated back ends.

Where the official plugins can be downloaded they are used instead, untouched: docs/engine.md.
"""
