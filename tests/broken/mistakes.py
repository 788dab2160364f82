"""The mistakes of servers, {name: Mistake}; each stage has a file of its own."""

import mistakes_stage2  # noqa: F401  each puts its own into MISTAKES
import mistakes_stage3  # noqa: F401
import mistakes_stage4  # noqa: F401
from mistake import MISTAKES  # noqa: F401
