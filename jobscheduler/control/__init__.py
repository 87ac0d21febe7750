"""The control socket: what users may ask of the running service, and which users may ask."""
