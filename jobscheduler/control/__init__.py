"""The control socket: what people may ask of the running service, and who may ask."""
