"""What path resolution and opening agree about."""

import os
import re

MAX_LINKS = 40
ODD = re.compile(rb"//|(?:^|/)\.\.?(?:/|$)|/$")  # what keeps a path from being canonical
CREATES = os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | CREATES
