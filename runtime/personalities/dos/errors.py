"""DOS error numbers, and what function 59h tells about each: class, suggested action, place.

Source: Ralf Brown's Interrupt List, INT 21h AH=59h.
"""

from __future__ import annotations

import errno

INVALID_FUNCTION, FILE_NOT_FOUND, PATH_NOT_FOUND, TOO_MANY_FILES, ACCESS_DENIED = 1, 2, 3, 4, 5
INVALID_HANDLE, MCB_DESTROYED, NO_MEMORY, INVALID_BLOCK, BAD_ENVIRONMENT = 6, 7, 8, 9, 10
BAD_FORMAT, INVALID_ACCESS, INVALID_DATA, INVALID_DRIVE, IS_CURRENT = 11, 12, 13, 15, 16
NOT_SAME_DEVICE, NO_MORE_FILES, WRITE_PROTECTED, NOT_READY, BAD_SECTOR = 17, 18, 19, 21, 27
READ_FAULT, GENERAL_FAILURE, SHARING, LOCKED, FILE_EXISTS, CANNOT_MAKE = 30, 31, 32, 33, 80, 82

# code: (class, action, locus); locus 1 unknown, 2 disk, 5 memory
_ABOUT = {
    INVALID_FUNCTION: (7, 4, 1),
    FILE_NOT_FOUND: (8, 3, 2),
    PATH_NOT_FOUND: (8, 3, 2),
    TOO_MANY_FILES: (1, 4, 1),
    ACCESS_DENIED: (3, 3, 2),
    INVALID_HANDLE: (7, 4, 1),
    MCB_DESTROYED: (7, 5, 5),
    NO_MEMORY: (1, 4, 5),
    INVALID_BLOCK: (7, 4, 5),
    BAD_ENVIRONMENT: (7, 4, 5),
    BAD_FORMAT: (9, 3, 1),
    INVALID_ACCESS: (7, 4, 1),
    INVALID_DATA: (9, 4, 1),
    INVALID_DRIVE: (8, 3, 2),
    IS_CURRENT: (3, 3, 2),
    NOT_SAME_DEVICE: (13, 3, 2),
    NO_MORE_FILES: (8, 3, 2),
    WRITE_PROTECTED: (11, 7, 2),
    FILE_EXISTS: (12, 3, 2),
    CANNOT_MAKE: (3, 3, 2),
}

_OF_ERRNO = {
    errno.ENOENT: FILE_NOT_FOUND,
    errno.ENOTDIR: PATH_NOT_FOUND,
    errno.EMFILE: TOO_MANY_FILES,
    errno.ENFILE: TOO_MANY_FILES,
    errno.EBADF: INVALID_HANDLE,
    errno.EXDEV: PATH_NOT_FOUND,  # the way led out of the drive
    errno.ELOOP: PATH_NOT_FOUND,
    errno.EROFS: ACCESS_DENIED,
    errno.ENOSPC: ACCESS_DENIED,
}


class DosError(Exception):
    """A service failed; the guest gets CF and this number in AX."""

    def __init__(self, code: int) -> None:
        super().__init__(f"DOS error {code}")
        self.code = code


class CriticalError(DosError):
    """The hardware would have failed: INT 24h decides what becomes of the function."""

    def __init__(self, code: int, drive: int) -> None:
        super().__init__(code)
        self.drive = drive  # 0 is A:


def about(code: int) -> tuple[int, int, int]:
    """Return class, suggested action and locus of an error."""
    return _ABOUT.get(code, (13, 4, 1))


def of_host(error: OSError) -> int:
    """Return the DOS error for what the host said."""
    return _OF_ERRNO.get(error.errno or 0, ACCESS_DENIED)
