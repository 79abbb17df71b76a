"""The only place that names concrete classes: configuration, wiring, listening."""
