"""A machine without an operating system, for programs that embed one."""
