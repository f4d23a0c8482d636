"""Everything outside the CPU: memory, code cache, dispatcher, operating system."""
