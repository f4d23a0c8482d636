"""DOS: runs .COM and .EXE programs on a small machine whose operating system is Python."""
