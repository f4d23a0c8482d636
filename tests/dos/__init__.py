"""DOS programs and the services that they use."""
