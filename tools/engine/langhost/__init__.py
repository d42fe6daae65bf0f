"""The language host: answers the engine, starts programs and policy packs; no import of ours."""
