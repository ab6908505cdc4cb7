"""Kong's declarative file with the service-gateway plug-in, turned into a rules file."""
